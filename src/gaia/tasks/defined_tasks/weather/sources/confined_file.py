"""Opens files by relative name inside one folder, and nowhere else.

No component of the name may be a symbolic link, `..` or absolute, and only a regular file is opened: what
lies in the folder may have been put there at a stranger's wish. It never waits, as opening a pipe would.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from gaia.contracts.errors import ValidatorFault


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
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for depth, part in enumerate(parts):
            descriptor = _step(descriptor, part, name, last=depth == len(parts) - 1)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnsafePath(f"{name[:200]!r} is not a regular file")
        with FileIO(descriptor, closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def _step(parent: int, part: str, name: str, *, last: bool) -> int:
    """Open `part` inside `parent`, which is closed only if that succeeds."""
    kind = os.O_NONBLOCK if last else os.O_DIRECTORY
    try:
        descriptor = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | kind, dir_fd=parent)
    except OSError as error:
        # a link is ELOOP when a file was wanted and ENOTDIR when a folder was; a socket is ENXIO
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
            raise UnsafePath(f"{name[:200]!r} leads through a link or to no regular file, at {part[:200]!r}") from None
        raise
    os.close(parent)
    return descriptor
