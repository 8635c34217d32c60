"""Machine code of a kernel, kept on disk, so that a process that only runs it never imports the compiler.

Importing numba and taking up its own cache costs seconds a process and 100 MB resident; linking the object code
that it once made costs milliseconds on top of llvmlite. Owns the compiler's settings, where the code lies and
when it is stale. Never holds a formula, and never runs code that was compiled from another source, by another
compiler or for another processor: all of them are in the file's name, and its digest is in the file. Nor code that
a user could have put there who cannot change the source itself.
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
"""The lanes into which sums are reordered: eight in every loop and on every processor, so that a sum has the same
digits in another kernel, and on another processor that fuses multiplying and adding."""
_compiling = threading.Lock()
MAY_REORDER = {"reassoc", "contract", "nsz", "arcp", "afn"}
"""Sums may be reordered into vector lanes; "nnan" and "ninf" stay off, for NaN must be seen."""


class KernelMisused(ValidatorFault):
    """A kernel was called with other arrays than it was compiled for."""


class KernelUnlinkable(ValidatorFault):
    """A kernel's machine code needs something that only the compiler's process has."""


class KernelFailed(ValidatorFault):
    """A kernel did not come to its end."""


Parameter = tuple[str, int, bool]
"""numpy's name of the type, dimensions (0: a number), writable. Arrays are in C order."""

Call = Callable[..., None]


def native(function: Call, parameters: Sequence[Parameter], *, same_lanes: bool = True) -> NativeCall:
    """`function` as machine code: the code that is kept, if it is of this function, or else compiled and kept.

    It must return nothing, allocate nothing and call only arithmetic. Without `same_lanes` LLVM makes vectors as it
    likes on this processor. Raises KernelUnlinkable.
    """
    paths = code_paths(function, parameters, same_lanes=same_lanes)
    owners = {0, os.geteuid(), Path(inspect.getfile(function)).stat().st_uid}
    code = next((found for path in paths if (found := _read(path, owners)) is not None), None)
    if code is None:
        code = _compile(function, parameters, same_lanes)
        any(_write(path, code) for path in paths)  # the first that takes it is enough
    return NativeCall(code, function.__name__, parameters)


def code_paths(function: Call, parameters: Sequence[Parameter], *, same_lanes: bool = True) -> list[Path]:
    """Where its machine code may lie: where Python keeps the compiled form of its source file, then, for installations
    that cannot be written, in the folder that workers are told to keep numba's cache in, or else in the user's.
    """
    compiled = Path(importlib.util.cache_from_source(inspect.getfile(function)))
    name = f"{compiled.stem}.{function.__name__}.{_key(function, parameters, same_lanes)}.o"
    folders = [compiled.parent]
    if told := os.environ.get("NUMBA_CACHE_DIR"):  # numba's own variable, which numba is not imported to ask
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
    """What is compiled meanwhile gets the same vectors in all loops, or such as the processor likes; LLVM has no such
    setting for one function.
    """
    import llvmlite.binding as llvm

    with _compiling:
        try:
            for name, lanes in _VECTORS.items() if same_lanes else ():
                llvm.set_option("gaia", f"{name}={lanes}")
            yield
        finally:
            for name in _VECTORS:
                llvm.set_option("gaia", f"{name}=0")  # as the processor likes it


def _compile(function: Call, parameters: Sequence[Parameter], same_lanes: bool) -> bytes:
    """(length of the function's name, name, object code)."""
    import numba

    alone: dict[str, Any] = {
        "no_cpython_wrapper": True,
        "no_cfunc_wrapper": True,
        "_nrt": False,
    }  # needs nothing of numba to run
    signature = numba.void(*(_numba_type(parameter) for parameter in parameters))
    try:
        with _vectors(same_lanes):
            compiled = numba.njit([signature], fastmath=MAY_REORDER, **alone)(function)
    except numba.core.errors.NumbaError as error:  # an allocation, first of all
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
    """Runs linked machine code; called as the function that it was made of, and releases the interpreter's lock.

    Its calls raise KernelMisused and KernelFailed.
    """

    def __init__(self, code: bytes, name: str, parameters: Sequence[Parameter]) -> None:
        self._engine, address = _link(code)  # the engine owns the code
        self._name = name
        self._parameters = parameters
        types = [c_type for parameter in parameters for c_type in _c_types(parameter)]
        # numba's own convention: where to put the result and the exception, then the arguments unpacked
        self._entry = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *types)(address)

    def __call__(self, *arguments: Any) -> None:
        """Run it."""
        self._run((), self._parameters, arguments)

    def bound(self, *first: Any) -> Call:
        """It with the first arguments given; unpacking arrays takes as long as summing a coarse field."""
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
    """Of what `_unpacked` gives."""
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
"""Where kernels may put a result and an exception, for nobody."""
_RETURNED = (0, -2)
"""numba's codes for a plain return and for one of None."""


def _link(code: bytes) -> tuple[Any, int]:
    """What must stay alive while the code may run, and the function's address."""
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
    """The code, if it is there and whole, and one of these users wrote it and nobody else may: it will be run."""
    try:
        # a link is nobody's own file, and a pipe would be waited for
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
    """Whole or not at all. Where no folder can be written, every process compiles for itself."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")  # as the cache keeper sweeps
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
