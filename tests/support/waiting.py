"""Waiting, bounded, for something that another process does."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

LONGEST_S = 30.0


def until(ask: Callable[[], T | None], what: str, longest_s: float = LONGEST_S) -> T:
    """The first true answer."""
    deadline = time.monotonic() + longest_s
    while time.monotonic() < deadline:
        if answer := ask():
            return answer
        time.sleep(0.01)
    raise AssertionError(f"not within {longest_s} s: {what}")


async def until_async(ask: Callable[[], T | None], what: str, longest_s: float = LONGEST_S) -> T:
    """The first true answer, while the event loop goes on."""
    deadline = time.monotonic() + longest_s
    while time.monotonic() < deadline:
        if answer := ask():
            return answer
        await asyncio.sleep(0.005)
    raise AssertionError(f"not within {longest_s} s: {what}")


def lines_of(path: Path) -> list[str]:
    """A file's lines; none while it does not exist."""
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def is_running(pid: int) -> bool:
    """Whether a process lives (a zombie does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def children_of(pid: int) -> list[int]:
    """The processes that a process has started and that still live."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(os.getpid()):
            try:
                fields = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if fields[1] == str(pid) and fields[0] not in ("Z", "X"):
                found.append(int(entry.name))
    return found
