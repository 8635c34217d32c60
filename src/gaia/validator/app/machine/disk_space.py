"""Whether the data folder's disk has room: looked at before it is missed, and said once when that changes.

Reads the file system's own count and decides nothing: the supervisor then waits instead of giving up, the IO-Engine
starts no jobs. A disk that is full is the operator's to mend; until then nothing must break that stays broken.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Protocol

LEAST_FREE_BYTES: Final = 128 * 1024 * 1024
"""Below it no new work is begun: PostgreSQL needs a few segments of its log (16 MiB each) to come up after a crash."""
LEAST_FREE_FILES: Final = 1_000
"""Inodes: a cache of many small files can use them up first, and the error is the same."""
_ENOUGH_AGAIN: Final = 1.25
"""Times that, so that a disk at the border does not start and stop the work with every file."""


class Log(Protocol):
    """A structured log, the supervisor's or the engine's."""

    def info(self, event: str, **facts: object) -> object: ...

    def error(self, event: str, **facts: object) -> object: ...


class DiskSpace:
    """Of the file system that a folder is on."""

    def __init__(self, folder: Path, log: Log, *, least_free_bytes: int = LEAST_FREE_BYTES) -> None:
        self._folder = folder
        self._log = log
        self._least_free_bytes = least_free_bytes
        self.is_short = False
        """Whether there was too little when last looked."""
        self.free_bytes: int | None = None
        """As last seen; None before the first look, or while the folder cannot be asked."""

    def look(self) -> bool:
        """Ask the file system now; whether it `is_short`. Says when that changes."""
        try:
            found = os.statvfs(self._folder)
        except OSError:  # the disk is not there; whoever needs it says so
            self.free_bytes = None
            return self.is_short
        self.free_bytes = found.f_bavail * found.f_frsize
        factor = _ENOUGH_AGAIN if self.is_short else 1.0
        out_of_files = found.f_files > 0 and found.f_favail < factor * LEAST_FREE_FILES  # 0: it has no such bound
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
