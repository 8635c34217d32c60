"""The compiled modules of the processes that we start: kept in the data folder, and believed only when whole.

    python -B -m gaia.validator.app.machine.bytecode FOLDER MODULE ARGUMENT...

runs MODULE as `python -m` does. Python reads what is compiled beside the sources, and writes nothing (`-B`): before it
was mended (https://github.com/python/cpython/issues/126606) a full disk left it a file that was cut short, and every
later process ended of that file. Whatever is not compiled there, the loader of this module compiles once and keeps in
FOLDER, a file for each module. The file's first bytes are a digest of what it was compiled from and by, and a digest of
its own content. A file to which these do not fit is as good as none, and is replaced.

Runs before everything else in a process, and what it imports is never kept: where nothing at all is compiled, importing
typing would double a bare worker's start, and pathlib add a tenth.
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
if TYPE_CHECKING:  # which type checkers take for true, whatever it is
    from collections.abc import Sequence
    from pathlib import Path
    from types import CodeType
    from typing import Any, Final

_DIGEST_BYTES: Final = 8  # each of the two; `source_hash` is Python's own, for its files that are checked by content
_COMPILER: Final = importlib.util.MAGIC_NUMBER + bytes([sys.flags.optimize])
_SPOILT: Final = (EOFError, ValueError, TypeError)
"""What `marshal` raises for a file that was cut short or filled up with zeros."""


def keeping(argv: Sequence[str], cache_dir: Path) -> list[str]:
    """The command line `python -B -m MODULE ...` with what it compiles kept below `cache_dir`; any other as it is."""
    program, *rest = argv
    if rest[:2] != ["-B", "-m"]:
        return [program, *rest]
    return [program, "-B", "-m", __spec__.name, str(cache_dir / "python"), *rest[2:]]


class KeepingLoader(SourceFileLoader):
    """Loads one module from its source. What has to be compiled for it is kept in `folder`."""

    def __init__(self, folder: str, fullname: str, path: str) -> None:
        super().__init__(fullname, path)
        self._folder = folder

    def get_code(self, fullname: str) -> CodeType | None:
        """The module's code. A spoilt file beside the source is thrown away, if this user may."""
        try:
            return super().get_code(fullname)
        except _SPOILT:
            with suppress(OSError):
                os.unlink(importlib.util.cache_from_source(self.path))
            return self.source_to_code(self.get_data(self.path), self.path)

    def source_to_code(self, data: Any, path: Any, **options: Any) -> CodeType:  # type: ignore[override]
        """The code that is kept, if it is of this source; else compiled, and kept for the next process."""
        if options or not isinstance(data, bytes):  # not what `get_code` asks for
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
    """The code in a file, if the file is whole and holds what was made of that."""
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
    """Put a file there whole, or leave what is there: without it every process compiles for itself.

    A process that is killed here leaves a draft, which the cache keeper sweeps.
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
    folder = os.path.abspath(folder)  # the process may change its own
    with suppress(OSError):
        os.makedirs(folder, mode=0o700, exist_ok=True)
    sys.dont_write_bytecode = True
    loaders: list[tuple[Any, list[str]]] = [
        (ExtensionFileLoader, EXTENSION_SUFFIXES),
        (partial(KeepingLoader, folder), SOURCE_SUFFIXES),
        (SourcelessFileLoader, BYTECODE_SUFFIXES),
    ]
    sys.path_hooks.insert(0, FileFinder.path_hook(*loaders))
    sys.path_importer_cache.clear()  # finders of the start, which load in Python's own way


def main(arguments: Sequence[str]) -> None:
    """Run a module as `python -m` does."""
    folder, module, *rest = arguments
    keep_compiled(folder)
    sys.argv[1:] = rest
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
