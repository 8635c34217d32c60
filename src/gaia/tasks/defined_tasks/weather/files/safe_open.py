"""Opens a file of a stranger's for reading, and nothing that is not a file.

Opening a pipe waits until somebody writes to it, which may be never; a device may do anything. Follows links. For names
inside a folder that a stranger has filled, see `confined_file`.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from gaia.tasks.defined_tasks.weather.files.errors import StoreMissing


def open_regular(path: Path) -> BinaryIO:
    """The regular file at `path`, from its beginning. Raises StoreMissing for whatever cannot be opened or is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise StoreMissing(f"{path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StoreMissing(f"{path} is no file; a pipe cannot be read twice, nor a device at all")
    return os.fdopen(descriptor, "rb")
