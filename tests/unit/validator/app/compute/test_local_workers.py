"""Workers without a supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from gaia.validator.app.compute.local_workers import LocalWorkers
from gaia.validator.app.compute.worker_launch import WorkerLaunch
from gaia.validator.app.processes.restart_policy import RestartPolicy
from tests.support.waiting import is_running, until_async

pytestmark = pytest.mark.processes


async def test_a_killed_worker_is_replaced_and_all_end_with_the_block(tmp_path: Path) -> None:
    launch = WorkerLaunch(socket_path=tmp_path / "none.sock", cache_dir=tmp_path, registry="weather")
    async with LocalWorkers(1, launch, policy=RestartPolicy(first_delay_s=0.01)) as workers:
        first = workers.pid(0)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        second = await until_async(lambda: pid if (pid := workers.pid(0)) != first else None, "another worker")
        assert is_running(second)
    assert not is_running(second)


async def test_a_worker_that_ignores_the_wish_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    said_hello = asyncio.Event()
    engine = await asyncio.start_unix_server(lambda *_: said_hello.set(), path)
    async with LocalWorkers(
        1, WorkerLaunch(socket_path=path, cache_dir=tmp_path, registry="weather"), grace_s=0.1
    ) as workers:
        await asyncio.wait_for(said_hello.wait(), 30)  # from here on it handles SIGTERM, if it runs
        pid = workers.pid(0)
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
    assert not is_running(pid)
    engine.close()


async def test_a_slot_whose_workers_never_come_up_is_given_up_and_says_why(tmp_path: Path) -> None:
    launch = WorkerLaunch(socket_path=tmp_path / "none.sock", cache_dir=tmp_path, registry="no registry")
    policy = RestartPolicy(first_delay_s=0.01, max_failures=1)
    async with LocalWorkers(1, launch, policy=policy) as workers:
        failure = await until_async(lambda: workers.failure, "the slot is given up")
        assert "worker 0 does not start (exit status 1)" in str(failure)
        assert workers.pid(0) is None


async def test_a_machine_without_room_for_another_process_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))  # not there yet
    launch = WorkerLaunch(socket_path=tmp_path / "none.sock", cache_dir=tmp_path, registry="weather")
    real = Path(sys.exec_prefix) / "bin" / "python"
    async with LocalWorkers(1, launch, policy=RestartPolicy(first_delay_s=0.01, max_failures=10_000)) as workers:
        assert workers.pid(0) is None
        (tmp_path / "python").symlink_to(real)
        pid = await until_async(lambda: workers.pid(0), "it is tried again")
        assert is_running(pid)


async def test_slots_that_are_all_given_up_are_told_of(tmp_path: Path) -> None:
    launch = WorkerLaunch(socket_path=tmp_path / "none.sock", cache_dir=tmp_path, registry="no registry")
    policy = RestartPolicy(first_delay_s=0.01, max_failures=1)
    told: list[Exception] = []
    async with LocalWorkers(2, launch, policy=policy, on_all_given_up=told.append):
        (failure,) = await until_async(lambda: told, "it is told")
        assert "does not start" in str(failure)
