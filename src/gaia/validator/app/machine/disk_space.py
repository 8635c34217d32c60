"""Watches whether the disk of the data folder has room, and logs when that changes.

Only reads the file system's count. Without room the supervisor waits instead of giving up, and the IO-Engine starts no
jobs. The operator must free space on a full disk; until then nothing must break for good.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Protocol

LEAST_FREE_BYTES: Final = 128 * 1024 * 1024
"""With less, no new work begins. PostgreSQL needs a few segments of its log (16 MiB each) to start after a crash."""
LEAST_FREE_FILES: Final = 1_000
"""The least number of free inodes. A cache of many small files can use them up before the space."""
_ENOUGH_AGAIN: Final = 1.25
"""Work starts again above this multiple, so that a disk near the limit does not stop and start it with every file."""


class Log(Protocol):
    """A structured log, the supervisor's or the engine's."""

    def info(self, event: str, **facts: object) -> object: ...

    def error(self, event: str, **facts: object) -> object: ...


class DiskSpace:
    """The room on the file system of a folder."""

    def __init__(self, folder: Path, log: Log, *, least_free_bytes: int = LEAST_FREE_BYTES) -> None:
        self._folder = folder
        self._log = log
        self._least_free_bytes = least_free_bytes
        self.is_short = False
        """Whether there was too little at the last look."""
        self.free_bytes: int | None = None
        """The room at the last look; None before the first one, or while the folder cannot be read."""

    def look(self) -> bool:
        """Ask the file system now. Returns whether it `is_short`, and logs a change."""
        try:
            found = os.statvfs(self._folder)
        except OSError:  # the disk is gone; the code that needs it reports that
            self.free_bytes = None
            return self.is_short
        self.free_bytes = found.f_bavail * found.f_frsize
        factor = _ENOUGH_AGAIN if self.is_short else 1.0
        out_of_files = found.f_files > 0 and found.f_favail < factor * LEAST_FREE_FILES  # 0: there is no such limit
        short = out_of_files or self.free_bytes < factor * self._least_free_bytes
        if short != self.is_short:
            self._say(short, found.f_favail)
        self.is_short = short
        return short

    def _say(self, short: bool, free_files: int) -> None:
        facts = {"folder": str(self._folder), "free_mib": (self.free_bytes or 0) >> 20, "free_files": free_files}
        if short:
            least = {"least_mib": self._least_free_bytes >> 20, "least_files": LEAST_FREE_FILES}
            self._log.error("data_folder_full", **facts, **least)
        else:
            self._log.info("data_folder_has_room", **facts)
