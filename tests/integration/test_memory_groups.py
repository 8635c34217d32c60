"""A real supervisor where systemd has delegated a cgroup to it, and the kernel bounds the workers' memory.

Skipped elsewhere, CI included. On a machine with systemd and cgroups of version 2 alone:

    sudo systemd-run --pipe --wait --same-dir --uid=$USER -p Delegate=memory .venv/bin/python -m pytest THIS_FILE
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from gaia.validator.app.supervision.memory_groups import is_ours, own_group
from tests.support.backbone_stack import Stack
from tests.support.memory_handlers import MEMORY_REGISTRY
from tests.support.waiting import is_running, lines_of, until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

MIB = 1024 * 1024
HARD_BYTES, LIMIT_BYTES = 160 * MIB, 240 * MIB  # the kernel's is 1.5 times the engine's
FILE_BYTES = LIMIT_BYTES + 60 * MIB
SLOTS = range(3)  # two at work, one standing by


@pytest.fixture
def group() -> Path:
    folder = own_group()
    if folder is None or not is_ours(folder):
        pytest.skip("no cgroup has been delegated to this process")
    return folder


@pytest.fixture
def ready(group: Path, stack: Stack) -> Stack:
    """Started in the group, with workers whose limit is known; at SIGHUP it is told to double it."""
    stack.registry = MEMORY_REGISTRY
    stack.settings = msgspec.structs.replace(stack.settings, compute_spares=1, worker_hard_memory_mib=HARD_BYTES // MIB)
    told = stack.folder / "told.json"
    changed = msgspec.structs.replace(stack.settings, worker_hard_memory_mib=2 * HARD_BYTES // MIB)
    told.write_bytes(changed.to_json())
    stack.settings_program = (sys.executable, "-c", f"print(open({str(told)!r}).read())")
    stack.start()
    until(lambda: stack.events("validator_ready"), "all have come up", 120.0)
    return stack


def held(folder: Path) -> set[int]:
    return {int(line) for line in lines_of(folder / "cgroup.procs")}


def limits(group: Path) -> set[str]:
    return {(group / f"worker-{slot}" / "memory.max").read_text().strip() for slot in SLOTS}


def counted(group: Path, event: str) -> int:
    """How often it has happened to any worker of the group."""
    lines = [line.split() for slot in SLOTS for line in lines_of(group / f"worker-{slot}" / "memory.events")]
    return sum(int(count) for name, count in lines if name == event)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_each_worker_has_a_bounded_group_and_nobody_else(group: Path, ready: Stack) -> None:
    assert held(group) == set()
    for slot in SLOTS:
        assert held(group / f"worker-{slot}") == {ready.pid_of("compute_worker", slot)}
    assert limits(group) == {str(LIMIT_BYTES)}
    assert {ready.pid, ready.pid_of("io_engine")} <= held(group / "supervisor")
    assert (group / "supervisor" / "memory.max").read_text().strip() == "max"
    assert ready.process is not None
    ready.process.terminate()
    assert ready.exit_status(60.0) == 0
    assert not any(held(group / f"worker-{slot}") for slot in SLOTS)


def test_a_leap_that_the_engine_cannot_see_is_ended_by_the_kernel(group: Path, ready: Stack, tmp_path: Path) -> None:
    began, told, leapt, landed = (tmp_path / name for name in ("began", "told", "leapt", "landed"))
    ready.do("bystander", "wait_for_file", began=str(tmp_path / "beside"), until=str(told))
    ready.do(
        "leap", "leap_once", began=str(began), until=str(told), leapt=str(leapt), landed=str(landed),
        leap_bytes=LIMIT_BYTES + 60 * MIB,
    )  # fmt: skip
    pid = int(until(lambda: lines_of(began), "it begins")[0])
    until(lambda: lines_of(tmp_path / "beside"), "the bystander begins")
    kills = counted(group, "oom_kill")
    with stopped(ready.pid_of("io_engine")):
        told.touch()
        until(lambda: not is_running(pid) or landed.exists(), "it is killed", 60.0)
    assert not landed.exists()
    assert counted(group, "oom_kill") == kills + 1
    assert ready.result("leap").attempt == 2
    assert ready.result("leap").ok
    assert (ready.result("bystander").ok, ready.result("bystander").attempt) == (True, 1)
    assert not ready.events("worker_over_memory")


def test_a_mapped_file_larger_than_the_limit_is_read_and_kills_nobody(
    group: Path, ready: Stack, tmp_path: Path
) -> None:
    large = tmp_path / "large"
    block = b"\x01" + bytes(MIB - 1)
    with large.open("wb") as file:
        for _ in range(FILE_BYTES // MIB):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # now the first to read it pays for its pages
    kills, reached = counted(group, "oom_kill"), counted(group, "max")
    ready.do("read", "read_mapped", path=str(large))
    until((ready.folder / "results" / "read.json").exists, "it is read, from the disk", 120.0)
    result = ready.result("read")
    assert result.value is not None, result.error
    assert result.value["total"] == FILE_BYTES // MIB
    assert counted(group, "max") > reached
    assert counted(group, "oom_kill") == kills


def test_a_changed_limit_holds_for_the_workers_that_follow(group: Path, ready: Stack) -> None:
    os.kill(ready.pid, signal.SIGHUP)
    until(lambda: limits(group) == {str(2 * LIMIT_BYTES)}, "every worker has been replaced", 60.0)
