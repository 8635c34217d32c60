"""Small, full or read-only disks, for tests that run as root, whom permissions do not stop.

They are mounted where only this process and its children see them, so that none outlives a test run, however it ends.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

_CLONE_NEWNS = 0x00020000  # sched.h
_MS_REC, _MS_PRIVATE = 0x4000, 1 << 18  # sys/mount.h


@contextmanager
def tmpfs_of(mount_point: Path, options: str) -> Iterator[Path]:
    """A new filesystem in memory; skips the test where this user may not mount one.

    It leaves its place at the end even while somebody still has files of it open, and goes with the last of them.
    """
    mount_point.mkdir()
    why_not = _mounts_of_our_own() or _run("mount", "-t", "tmpfs", "-o", f"mode=0755,{options}", "tmpfs", mount_point)
    if why_not:
        pytest.skip(f"no filesystem can be mounted here: {why_not}")
    try:
        yield mount_point
    finally:
        left = _run("umount", "--lazy", mount_point)
        assert not left, left


def fill(path: Path) -> None:
    """Write a file until its disk has no byte left."""
    with path.open("wb", buffering=0) as ballast:
        for block in (bytes(1 << 20), bytes(1 << 12)):
            try:
                while True:
                    ballast.write(block)
            except OSError:
                continue
    assert shutil.disk_usage(path.parent).free == 0


@cache
def _mounts_of_our_own() -> str:
    """Give this thread and the processes that it starts a mount table of their own; why not, if that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0 or libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None) != 0:
        return os.strerror(ctypes.get_errno())
    return ""


def _run(*command: str | Path) -> str:
    """Run a program; what it complains of, or nothing."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return (done.stderr.strip() or f"exit status {done.returncode}") if done.returncode != 0 else ""
