"""Opens a foreign path for reading, but only if it is a regular file.

To open a pipe means to wait until somebody writes to it, perhaps for ever, and a device may do anything. Links are
followed. For names inside a folder that a stranger has filled, see `confined_file`.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from gaia.tasks.defined_tasks.weather.files.errors import StoreMissing


def open_regular(path: Path) -> BinaryIO:
    """The regular file at `path`, open at its beginning. Raises StoreMissing if it is none or cannot be opened."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise StoreMissing(f"{path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StoreMissing(f"{path} is not a regular file; pipes and devices are not read: copy the data to a file")
    return os.fdopen(descriptor, "rb")
