"""Keeps the compiled modules of the processes that we start in the data folder, and uses only files that are whole.

    python -B -m gaia.validator.app.machine.bytecode FOLDER MODULE ARGUMENT...

runs MODULE as `python -m` does. Python reads the compiled files beside the sources, and writes none (`-B`). Older
versions of Python leave a truncated file when the disk is full, and every later process fails on that file
(https://github.com/python/cpython/issues/126606). This module's loader compiles every other module once, and keeps each
in a file in FOLDER. The file begins with two digests: one of the source and the compiler, and one of the file's own
content. A file with wrong digests is ignored and replaced.

This module runs before everything else in a process, and its own imports are never kept. So it does not import typing,
which would double the start of a bare worker without compiled files, or pathlib, which would add a tenth.
"""
# ruff: noqa: PTH100, PTH103, PTH105, PTH108, PTH123

from __future__ import annotations

import importlib.util
import marshal
import os
import runpy
import sys
from contextlib import suppress
from functools import partial
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from importlib.util import source_hash

TYPE_CHECKING = False
if TYPE_CHECKING:  # type checkers treat it as true
    from collections.abc import Sequence
    from pathlib import Path
    from types import CodeType
    from typing import Any, Final

_DIGEST_BYTES: Final = 8  # of each digest; Python itself uses `source_hash` for files that it checks by content
_COMPILER: Final = importlib.util.MAGIC_NUMBER + bytes([sys.flags.optimize])
_SPOILT: Final = (EOFError, ValueError, TypeError)
"""The errors of `marshal` for a truncated file or a file of zeros."""


def keeping(argv: Sequence[str], cache_dir: Path) -> list[str]:
    """Make the command `python -B -m MODULE ...` keep compiled modules below `cache_dir`. Others stay unchanged."""
    program, *rest = argv
    if rest[:2] != ["-B", "-m"]:
        return [program, *rest]
    return [program, "-B", "-m", __spec__.name, str(cache_dir / "python"), *rest[2:]]


class KeepingLoader(SourceFileLoader):
    """Loads one module from its source, and keeps the compiled code in `folder`."""

    def __init__(self, folder: str, fullname: str, path: str) -> None:
        super().__init__(fullname, path)
        self._folder = folder

    def get_code(self, fullname: str) -> CodeType | None:
        """The module's code. A damaged file beside the source is deleted, if this user may do that."""
        try:
            return super().get_code(fullname)
        except _SPOILT:
            with suppress(OSError):
                os.unlink(importlib.util.cache_from_source(self.path))
            return self.source_to_code(self.get_data(self.path), self.path)

    def source_to_code(self, data: Any, path: Any, **options: Any) -> CodeType:  # type: ignore[override]
        """The kept code, if it was compiled from this source. Otherwise compile the source, and keep the code."""
        if options or not isinstance(data, bytes):  # this is not a call by `get_code`
            return super().source_to_code(data, path, **options)
        made_of = source_hash(b"\0".join((_COMPILER, os.fsencode(path), data)))
        file = f"{self._folder}/{self.name}.code"
        kept = _read(file, made_of)
        if kept is not None:
            return kept
        code = super().source_to_code(data, path)
        _write(file, made_of, marshal.dumps(code))
        return code


def _read(file: str, made_of: bytes) -> CodeType | None:
    """The code in a file. None if the file is not whole, or was not compiled from this source."""
    try:
        with open(file, "rb") as kept:
            content = memoryview(kept.read())
    except OSError:
        return None
    code = content[2 * _DIGEST_BYTES :]
    if content[: 2 * _DIGEST_BYTES] != made_of + source_hash(code):
        return None
    loaded: CodeType = marshal.loads(code)  # noqa: S302  our own, in a folder that only this user can enter
    return loaded


def _write(file: str, made_of: bytes, code: bytes) -> None:
    """Write the file whole, or change nothing. Without the file every process compiles for itself.

    A process that is killed here leaves a draft, which the cache keeper deletes.
    """
    folder, name = os.path.split(file)
    draft = f"{folder}/.{name}.{os.urandom(6).hex()}.tmp"
    try:
        with open(draft, "xb") as started:
            started.write(made_of + source_hash(code) + code)
        os.replace(draft, file)
    except OSError:
        with suppress(OSError):
            os.unlink(draft)


def keep_compiled(folder: str) -> None:
    """From now on this process loads modules through `KeepingLoader`."""
    folder = os.path.abspath(folder)  # the process may change its working folder
    with suppress(OSError):
        os.makedirs(folder, mode=0o700, exist_ok=True)
    sys.dont_write_bytecode = True
    loaders: list[tuple[Any, list[str]]] = [
        (ExtensionFileLoader, EXTENSION_SUFFIXES),
        (partial(KeepingLoader, folder), SOURCE_SUFFIXES),
        (SourcelessFileLoader, BYTECODE_SUFFIXES),
    ]
    sys.path_hooks.insert(0, FileFinder.path_hook(*loaders))
    sys.path_importer_cache.clear()  # it holds finders from the start, which use Python's own loaders


def main(arguments: Sequence[str]) -> None:
    """Run a module as `python -m` does."""
    folder, module, *rest = arguments
    keep_compiled(folder)
    sys.argv[1:] = rest
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
