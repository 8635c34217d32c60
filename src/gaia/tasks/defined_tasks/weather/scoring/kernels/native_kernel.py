"""Keeps the machine code of a kernel on disk, so that a process that only runs it never imports the compiler.

An import of numba, with a read of its own cache, takes seconds and 100 MB in each process. Linking stored object code
takes milliseconds more than llvmlite alone.

Owns the compiler's settings, the place of the code, and the rule that says when stored code is stale. Never holds a
formula. Never runs code that was compiled from another source, by another compiler or for another processor, because
the file's name depends on all of these. The file holds its own digest. Never runs code from a file that anybody but the
source's owner, root and this user may write.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.metadata
import importlib.util
import inspect
import os
import secrets
import stat
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gaia.contracts.errors import ValidatorFault

_DIGEST_BYTES = 32
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_VECTORS = {"-force-vector-width": 4, "-force-vector-interleave": 2}
"""The number of lanes over which a sum is spread: eight in every loop and on every processor. So a sum has the same
digits in another kernel, and on any other processor that fuses multiplication and addition."""
_compiling = threading.Lock()
MAY_REORDER = {"reassoc", "contract", "nsz", "arcp", "afn"}
"""Sums may be reordered into vector lanes. "nnan" and "ninf" stay off, because NaN must be noticed."""


class KernelMisused(ValidatorFault):
    """A kernel was called with arrays of another type or layout than it was compiled for."""


class KernelUnlinkable(ValidatorFault):
    """A kernel's machine code needs a function that exists only where numba is imported."""


class KernelFailed(ValidatorFault):
    """A kernel stopped before its end."""


Parameter = tuple[str, int, bool]
"""numpy's name of the type, dimensions (0: a number), writable. Arrays are in C order."""

Call = Callable[..., None]


def native(function: Call, parameters: Sequence[Parameter], *, same_lanes: bool = True) -> NativeCall:
    """`function` as machine code: from disk if valid code is there, else compiled now and stored.

    The function must return nothing, allocate nothing and call only arithmetic. Without `same_lanes` LLVM chooses the
    vector width for this processor. Raises KernelUnlinkable.
    """
    paths = code_paths(function, parameters, same_lanes=same_lanes)
    owners = {0, os.geteuid(), Path(inspect.getfile(function)).stat().st_uid}
    code = next((found for path in paths if (found := _read(path, owners)) is not None), None)
    if code is None:
        code = _compile(function, parameters, same_lanes)
        any(_write(path, code) for path in paths)  # the first that takes it is enough
    return NativeCall(code, function.__name__, parameters)


def code_paths(function: Call, parameters: Sequence[Parameter], *, same_lanes: bool = True) -> list[Path]:
    """The places where its machine code may lie. The first is the folder where Python keeps the compiled source file.
    The second, for installations that cannot be written, is NUMBA_CACHE_DIR, or ~/.cache/gaia if that is not set.
    """
    compiled = Path(importlib.util.cache_from_source(inspect.getfile(function)))
    name = f"{compiled.stem}.{function.__name__}.{_key(function, parameters, same_lanes)}.o"
    folders = [compiled.parent]
    if told := os.environ.get("NUMBA_CACHE_DIR"):  # numba's own variable; read here, so that numba is not imported
        folders.append(Path(told))
    else:
        with suppress(RuntimeError):  # a process without a home
            folders.append(Path.home() / ".cache" / "gaia")
    return [folder / name for folder in folders]


def _key(function: Call, parameters: Sequence[Parameter], same_lanes: bool) -> str:
    """Everything that the machine code depends on."""
    import llvmlite.binding as llvm  # type: ignore[import-untyped]  # it has no types

    parts = [
        inspect.getsource(function),
        repr((parameters, same_lanes)),
        Path(__file__).read_text(encoding="utf-8"),
        *(importlib.metadata.version(package) for package in ("numba", "llvmlite")),
        *(os.environ.get(f"NUMBA_{setting}", "") for setting in ("CPU_NAME", "CPU_FEATURES", "OPT")),
        llvm.get_process_triple(),
        llvm.get_host_cpu_name(),
        llvm.get_host_cpu_features().flatten(),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@contextmanager
def _vectors(same_lanes: bool) -> Iterator[None]:
    """Within the block LLVM compiles all loops with the same vector width if `same_lanes`, else it chooses the width.

    LLVM has no such setting for one function.
    """
    import llvmlite.binding as llvm

    with _compiling:
        try:
            for name, lanes in _VECTORS.items() if same_lanes else ():
                llvm.set_option("gaia", f"{name}={lanes}")
            yield
        finally:
            for name in _VECTORS:
                llvm.set_option("gaia", f"{name}=0")  # LLVM chooses again


def _compile(function: Call, parameters: Sequence[Parameter], same_lanes: bool) -> bytes:
    """(length of the function's name, name, object code)."""
    import numba

    alone: dict[str, Any] = {
        "no_cpython_wrapper": True,
        "no_cfunc_wrapper": True,
        "_nrt": False,
    }  # the code runs without numba
    signature = numba.void(*(_numba_type(parameter) for parameter in parameters))
    try:
        with _vectors(same_lanes):
            compiled = numba.njit([signature], fastmath=MAY_REORDER, **alone)(function)
    except numba.core.errors.NumbaError as error:  # most often an allocation
        raise KernelUnlinkable(f"{function.__name__} does not compile without numba's runtime: {error}") from error
    result: Any = next(iter(compiled.overloads.values()))
    functions = result.library._final_module.functions
    outside = {f.name for f in functions if f.is_declaration and not f.name.startswith("llvm.")}
    if outside:
        raise KernelUnlinkable(f"{function.__name__} calls {sorted(outside)}; a kernel calls only arithmetic")
    name = str(result.fndesc.llvm_func_name).encode()
    code: bytes = result.library._get_compiled_object()
    return len(name).to_bytes(2, "big") + name + code


def _numba_type(parameter: Parameter) -> Any:
    from numba import types

    dtype, ndim, writable = parameter
    scalar = getattr(types, dtype)
    return types.Array(scalar, ndim, "C", readonly=not writable) if ndim else scalar


class NativeCall:
    """Runs linked machine code. It is called like the compiled function, and releases the interpreter's lock.

    Its calls raise KernelMisused and KernelFailed.
    """

    def __init__(self, code: bytes, name: str, parameters: Sequence[Parameter]) -> None:
        self._engine, address = _link(code)  # the engine owns the code
        self._name = name
        self._parameters = parameters
        types = [c_type for parameter in parameters for c_type in _c_types(parameter)]
        # numba's calling convention: addresses for the result and the exception, then the unpacked arguments
        self._entry = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *types)(address)

    def __call__(self, *arguments: Any) -> None:
        """Run the code."""
        self._run((), self._parameters, arguments)

    def bound(self, *first: Any) -> Call:
        """The kernel with its first arguments fixed. (Unpacking arrays takes as long as summing a coarse field.)"""
        count = len(first)
        unpacked = _unpacked(self._parameters[:count], first)
        rest = self._parameters[count:]

        def call(*last: Any, _alive: Sequence[Any] = first) -> None:
            self._run(unpacked, rest, last)

        return call

    def _run(self, unpacked: Sequence[Any], parameters: Sequence[Parameter], arguments: Sequence[Any]) -> None:
        status = self._entry(_UNREAD, _UNREAD, *unpacked, *_unpacked(parameters, arguments))
        if status not in _RETURNED:
            raise KernelFailed(f"{self._name} ended with status {status}: it divided by zero")


def _c_types(parameter: Parameter) -> list[Any]:
    """The ctypes types of the values that `_unpacked` gives."""
    dtype, ndim, _ = parameter
    if ndim == 0:
        return [{"float64": ctypes.c_double, "float32": ctypes.c_float, "int64": ctypes.c_int64}[dtype]]
    return [*[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 2, ctypes.c_void_p, *[ctypes.c_int64] * (2 * ndim)]


def _unpacked(parameters: Sequence[Parameter], arguments: Sequence[Any]) -> list[Any]:
    """Numbers as they are; arrays as numba passes them: two owners, count, item size, address, shape, strides."""
    parts: list[Any] = []
    for (dtype, ndim, writable), argument in zip(parameters, arguments, strict=True):
        if ndim == 0:
            parts.append(argument)
            continue
        array: NDArray[Any] = argument
        flags = array.flags
        fits = array.dtype == dtype and array.ndim == ndim and flags.c_contiguous and flags.aligned
        if not fits or (writable and not flags.writeable):
            wanted = f"{'writable ' if writable else ''}{dtype} of {ndim} dimensions in C order"
            raise KernelMisused(f"expected {wanted}, got {array.dtype} {array.shape} with strides {array.strides}")
        parts += (None, None, array.size, array.itemsize, array.ctypes.data, *array.shape, *array.strides)
    return parts


_UNREAD = ctypes.byref(ctypes.c_void_p())
"""Where a kernel may write a result and an exception. Nobody reads them."""
_RETURNED = (0, -2)
"""numba's codes for a plain return and for one of None."""


def _link(code: bytes) -> tuple[Any, int]:
    """The engine, which must stay alive as long as the code may run, and the function's address."""
    import llvmlite.binding as llvm

    length = int.from_bytes(code[:2], "big")
    name, elf = code[2 : 2 + length].decode(), code[2 + length :]
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(elf))
    engine.finalize_object()
    return engine, int(engine.get_function_address(name))


def _read(path: Path, owners: Collection[int]) -> bytes | None:
    """The code, which will be run. None unless the file is whole and only one of these users may write it."""
    try:
        # a link could lead to another user's file, and opening a pipe would wait for a writer
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_uid not in owners or status.st_mode & _OTHERS_MAY_WRITE:
                return None
            stored = file.read()
    except OSError:
        return None
    code = stored[_DIGEST_BYTES:]
    return code if stored[:_DIGEST_BYTES] == hashlib.sha256(code).digest() else None


def _write(path: Path, code: bytes) -> bool:
    """Write the file whole or not at all. If no folder can be written, every process compiles for itself."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")  # the cache keeper deletes such names
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(hashlib.sha256(code).digest() + code)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        return False
    return True
