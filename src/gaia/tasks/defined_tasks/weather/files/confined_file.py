"""Opens files by relative name inside one folder, and nowhere else.

No component of the name may be a symbolic link, `..` or absolute, and only a regular file is opened: what
lies in the folder may have been put there at a stranger's wish. It never waits, as opening a pipe would.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from gaia.contracts.errors import ValidatorFault

_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_LEADS_AWAY = {errno.ELOOP, errno.ENOTDIR, errno.EXDEV, errno.ENXIO}
"""A link where a file was wanted, or where a folder was; out of the folder; a socket."""


class _OpenHow(ctypes.Structure):
    """openat2(2), struct open_how."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_OPENAT2 = 437  # its number on every architecture
_BENEATH, _NO_SYMLINKS, _NO_MAGICLINKS = 0x08, 0x04, 0x02
_HOW = _OpenHow(_FILE_FLAGS, 0, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS)
_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
_syscall.restype = ctypes.c_long


class UnsafePath(ValidatorFault):
    """A name would leave its folder, or leads through a symbolic link, or to no regular file."""


@contextmanager
def open_confined(folder: Path, name: str) -> Iterator[FileIO]:
    """The regular file `name` ("/"-separated) below `folder`, unbuffered, for reading.

    Raises UnsafePath, FileNotFoundError, or another OSError of the file system.
    """
    parts = name.split("/")
    if not name or "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise UnsafePath(f"{name[:200]!r} does not name a file inside a folder")
    root = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        descriptor = _open_below(root, name)
    except OSError as error:
        if error.errno in _LEADS_AWAY:
            raise UnsafePath(f"{name[:200]!r} leads through a link, or to no regular file") from None
        raise
    finally:
        os.close(root)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnsafePath(f"{name[:200]!r} is not a regular file")
        with FileIO(descriptor, closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def _open_below(root: int, name: str) -> int:
    """In one system call, where there is such a call: by steps it takes two a folder."""
    while (descriptor := _openat2(root, name)) < 0:
        number = ctypes.get_errno()
        if number in {errno.ENOSYS, errno.EPERM}:  # Linux before 5.6, or a container that forbids the call
            return _open_by_steps(root, name.split("/"))
        if number != errno.EINTR:  # a signal came, on a network's file system; Python's own calls try again, too
            raise OSError(number, os.strerror(number), name)
    return descriptor


def _openat2(root: int, name: str) -> int:
    """A descriptor, or -1 and errno."""
    return int(_syscall(_OPENAT2, root, os.fsencode(name), ctypes.byref(_HOW), ctypes.sizeof(_HOW)))


def _open_by_steps(root: int, parts: list[str]) -> int:
    parent = os.dup(root)
    try:
        for part in parts[:-1]:
            child = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            os.close(parent)
            parent = child
        return os.open(parts[-1], _FILE_FLAGS, dir_fd=parent)
    finally:
        os.close(parent)
