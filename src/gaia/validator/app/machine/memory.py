"""Reads memory and processor time of processes from /proc. Owns nothing else; never kills anybody."""

from __future__ import annotations

import os
from typing import Final

from msgspec import Struct

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


class ProcessUsage(Struct, frozen=True, kw_only=True):
    """What a process uses now."""

    resident_bytes: int
    anonymous_bytes: int
    """Of these, what is its own: without the files that it has mapped, which all workers share."""
    cpu_s: float
    """User and system time since it started."""


class AnonymousMemory:
    """Anonymous resident memory of one process, through a descriptor that is kept open (0.8 us a reading).

    Memory-mapped files are not counted: every worker maps the same truth. A kept descriptor never answers
    for a later process of the same pid.
    """

    def __init__(self, pid: int) -> None:
        """Raises OSError if there is no such process."""
        self._descriptor = os.open(f"/proc/{pid}/statm", os.O_RDONLY | os.O_CLOEXEC)

    def read_bytes(self) -> int:
        """0 once the process is gone."""
        try:
            fields = os.pread(self._descriptor, 128, 0).split()
        except ProcessLookupError:
            return 0
        return (int(fields[1]) - int(fields[2])) * _PAGE_BYTES  # resident less shared: proc_pid_statm(5)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)


def process_usage(pid: int) -> ProcessUsage | None:
    """Memory and processor time of a process; None if it is gone. Fields as in proc_pid_stat(5), proc_pid_statm(5)."""
    times, memory = _read(f"/proc/{pid}/stat"), _read(f"/proc/{pid}/statm")
    if not times or not memory:
        return None
    fields = times.rpartition(b")")[2].split()  # the name, field 2, may hold blanks and brackets
    _, resident, shared, *_ = (int(field) for field in memory.split())
    return ProcessUsage(
        resident_bytes=resident * _PAGE_BYTES,
        anonymous_bytes=(resident - shared) * _PAGE_BYTES,
        cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS_PER_S,
    )


def _read(path: str) -> bytes:
    """Empty if there is no such process any more."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        return os.read(descriptor, 4096)
    except ProcessLookupError:
        return b""
    finally:
        os.close(descriptor)
