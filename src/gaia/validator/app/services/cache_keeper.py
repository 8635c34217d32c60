"""Keeps the caches within their limits: deletes the oldest forecast chunks, and leftovers of killed writers.

Everything below `<data_dir>/cache` can be fetched or decoded again, so a deletion costs time but no result. A unit that
does not find its chunk fails as our fault; the chunk is fetched again and the unit repeated.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import structlog
from msgspec import Struct

from gaia.contracts.clock import Clock

_EVERY_S = 60.0
_LEFTOVER_AGE_S = 3600.0
_LEFTOVER_SUFFIXES = (".part", ".tmp", ".draft")
_LOW_WATER = 0.9


class CacheReport(Struct, frozen=True, kw_only=True):
    """The results of one round."""

    kept_bytes: int
    dropped_files: int
    swept: int


class CacheKeeper:
    """Deletes old cache files. A background service of the IO-Engine."""

    def __init__(self, cache_dir: Path, *, forecast_limit_bytes: int, clock: Clock) -> None:
        self._cache_dir = cache_dir
        self._limit_bytes = forecast_limit_bytes
        self._clock = clock
        self._log = structlog.get_logger("cache_keeper")

    async def run(self) -> None:
        """Do a round every minute, until cancelled."""
        while True:
            try:
                report = await asyncio.to_thread(self.keep)
            except OSError as error:
                self._log.warning("cache_not_kept", error=str(error))
            else:
                if report.dropped_files or report.swept:
                    self._log.info("cache_kept", dropped=report.dropped_files, swept=report.swept)
            await self._clock.sleep(_EVERY_S)

    def keep(self) -> CacheReport:
        """Do one round: delete leftovers, then the oldest chunks until the forecasts fit into their limit."""
        now_s = self._clock.now().timestamp()
        swept = sum(_sweep(path, now_s) for path in _entries(self._cache_dir))
        chunks = sorted(_chunks(self._cache_dir / "forecasts"))
        total = sum(size_bytes for _, size_bytes, _ in chunks)
        dropped = 0
        if total > self._limit_bytes:
            for _, size_bytes, path in chunks:
                if total <= _LOW_WATER * self._limit_bytes:
                    break
                Path(path).unlink(missing_ok=True)
                total -= size_bytes
                dropped += 1
        return CacheReport(kept_bytes=total, dropped_files=dropped, swept=swept)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """All files and folders below a folder. Folders that are leftovers are not entered."""
    try:
        with os.scandir(folder) as found:
            for entry in found:
                yield entry
                if entry.is_dir(follow_symlinks=False) and not _is_leftover(entry):
                    yield from _entries(Path(entry.path))
    except FileNotFoundError:
        return


def _chunks(folder: Path) -> Iterator[tuple[float, int, str]]:
    """(modified, size, path) of every chunk. Manifests are small and are kept."""
    for entry in _entries(folder):
        if entry.is_file(follow_symlinks=False) and "." not in entry.name:
            status = entry.stat(follow_symlinks=False)
            yield status.st_mtime, status.st_size, entry.path


def _is_leftover(entry: os.DirEntry[str]) -> bool:
    return entry.name.startswith(".") and entry.name.endswith(_LEFTOVER_SUFFIXES)


def _sweep(entry: os.DirEntry[str], now_s: float) -> bool:
    """Delete a leftover that has not changed for an hour: its writer was killed. Returns whether it was deleted."""
    if not _is_leftover(entry) or now_s - entry.stat(follow_symlinks=False).st_mtime < _LEFTOVER_AGE_S:
        return False
    if entry.is_dir(follow_symlinks=False):
        shutil.rmtree(entry.path, ignore_errors=True)
    else:
        Path(entry.path).unlink(missing_ok=True)
    return True
