"""/proc readers against what the kernel says elsewhere."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time

import pytest

from gaia.validator.app.machine.memory import AnonymousMemory, process_usage

MIB = 1024 * 1024


def test_touched_memory_counts_and_mapped_files_do_not(tmp_path: pytest.TempPathFactory) -> None:
    path = tmp_path / "file"  # type: ignore[operator]  # the fixture is a Path
    path.write_bytes(bytes(64 * MIB))
    reader = AnonymousMemory(os.getpid())
    before = reader.read_bytes()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert mapped[:: mmap.PAGESIZE].count(0) == 64 * MIB // mmap.PAGESIZE  # every page has been touched
        after_file = reader.read_bytes()
        block = bytearray(b"x") * (64 * MIB)
        after_block = reader.read_bytes()
    assert after_file - before < 8 * MIB
    assert after_block - after_file >= 60 * MIB
    assert len(block) == 64 * MIB
    reader.close()


def test_a_kept_descriptor_reads_zero_after_the_process_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    reader = AnonymousMemory(child.pid)
    assert reader.read_bytes() > 0
    child.kill()
    child.wait(10)
    assert reader.read_bytes() == 0
    reader.close()


def test_a_process_that_does_not_exist_cannot_be_read() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait(30)
    assert process_usage(child.pid) is None
    with pytest.raises(OSError, match=r"statm"):
        AnonymousMemory(child.pid)


def test_usage_agrees_with_the_interpreters_own_account() -> None:
    deadline = time.process_time() + 0.05
    while time.process_time() < deadline:
        pass
    usage = process_usage(os.getpid())
    assert usage is not None
    # The kernel's tick is 10 ms; the children's time is not in it.
    assert usage.cpu_s == pytest.approx(time.process_time(), abs=0.05)
    assert usage.resident_bytes > usage.anonymous_bytes > 1 * MIB
