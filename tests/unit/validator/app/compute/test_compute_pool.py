"""What a pool refuses, and whom it lets go when. Its work is tested in tests/contract and tests/faults."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from gaia.contracts.errors import ConfigurationError
from gaia.contracts.unit import WorkUnit
from gaia.validator.app.compute.compute_pool import ComputePool
from gaia.validator.app.compute.ipc import LENGTH
from gaia.validator.app.compute.pool_settings import PoolSettings
from gaia.validator.utils.ipc_types import Result
from tests.support.pools import running_pool
from tests.support.waiting import lines_of, until_async

pytestmark = pytest.mark.usefixtures("unmeasured_children")

MIB = 1024 * 1024


class HalfMade(Struct):
    """One of its fields is taken away, so that encoding it raises AttributeError."""

    value: int = 0


def half_made() -> HalfMade:
    made = HalfMade()
    del made.value
    return made


async def test_a_socket_folder_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(ConfigurationError, match="chmod 700"):
        await ComputePool(socket_path=folder / "s").start()


async def test_a_socket_path_that_the_kernel_could_not_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="too long"):
        await ComputePool(socket_path=tmp_path / ("x" * 100)).start()


async def test_a_dead_engines_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "private" / "s"
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    pool = ComputePool(socket_path=path)
    await pool.start()
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.close()
    await pool.close()
    assert not path.exists()
    assert await reader.read() == b""


async def test_without_workers_units_wait_and_can_be_withdrawn(tmp_path: Path) -> None:
    pool = ComputePool(socket_path=tmp_path / "private" / "s")
    await pool.start()
    waiting = asyncio.create_task(pool.run(WorkUnit(handler="echo", payload={})))
    await until_async(lambda: pool.queue_depth() == 1, "the unit waits")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert pool.queue_depth() == 0
    await pool.close()


def _with_no_text() -> bytes:
    body = msgspec.msgpack.encode(Result("unit", 1, 0.0, None, None)).replace(b"unit", b"\xff\xff\xff\xff")
    return LENGTH.pack(len(body)) + body


@pytest.mark.parametrize("rubbish", [b"\xff" * 64, _with_no_text()], ids=["no frame", "no text"])
async def test_somebody_who_dials_in_and_talks_rubbish_is_cut_off_but_not_killed(
    tmp_path: Path, rubbish: bytes
) -> None:
    path = tmp_path / "private" / "s"
    pool = ComputePool(socket_path=path)
    await pool.start()
    reader, writer = await asyncio.open_unix_connection(str(path))  # this very process
    writer.write(rubbish)
    assert await asyncio.wait_for(reader.read(), 10) == b""
    assert pool.statistics().workers == 0
    writer.close()
    await pool.close()


async def test_somebody_who_dials_in_and_hangs_up_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "private" / "s"
    pool = ComputePool(socket_path=path)
    await pool.start()
    _, writer = await asyncio.open_unix_connection(str(path))
    await until_async(lambda: pool._links, "the connection is known")
    writer.close()
    await until_async(lambda: not pool._links, "the connection is forgotten")
    await pool.close()


async def test_a_deadline_counts_while_a_unit_waits_for_a_place(tmp_path: Path) -> None:
    pool = ComputePool(socket_path=tmp_path / "private" / "s", settings=PoolSettings(queue_capacity=1))
    await pool.start()
    first = asyncio.create_task(pool.run(WorkUnit(handler="echo", payload={})))
    await until_async(lambda: pool.queue_depth() == 1, "the line is full")
    late = asyncio.create_task(pool.run(WorkUnit(handler="echo", payload={}, deadline_s=0.2)))
    await until_async(lambda: pool.statistics().submitters == 1, "the second waits for a place")
    error = (await asyncio.wait_for(late, 30)).error
    assert error is not None
    assert error.code == "deadline_passed"
    statistics = pool.statistics()
    assert (statistics.submitters, statistics.waiting, statistics.timed_out) == (0, 1, 1)
    await pool.close()
    assert (await first).error is not None


@pytest.mark.processes
@pytest.mark.parametrize(("leaked_mib", "goes"), [(0, False), (310, False), (450, True)])
async def test_a_swollen_worker_waits_for_a_spare_until_its_memory_cannot_wait(leaked_mib: int, goes: bool) -> None:
    # Past 300 MiB it is swollen, past 375 (1.25 times) nobody waits; of its own a worker has some 10.
    settings = PoolSettings(compute_workers=1, worker_soft_memory_bytes=300 * MIB)
    async with running_pool(workers=1, settings=settings) as running:
        result = await running.pool.run(WorkUnit(handler="leak", payload={"bytes": leaked_mib * MIB}))
        assert result.ok
        assert running.pool.statistics().retired == int(goes)


@pytest.mark.processes
async def test_two_workers_free_in_one_turn_leave_nobody_waiting_beside_an_empty_line(tmp_path: Path) -> None:
    release, began = tmp_path / "release", tmp_path / "began"
    async with running_pool(workers=2, settings=PoolSettings(queue_capacity=1)) as running:
        wait = {"began": str(began), "until": str(release)}
        blockers = [
            asyncio.create_task(running.pool.run(WorkUnit(handler="wait_for_file", payload=wait))) for _ in "ab"
        ]
        await until_async(lambda: len(lines_of(began)) == 2, "both workers are busy")
        others = [asyncio.create_task(running.pool.run(WorkUnit(handler="echo", payload={}))) for _ in range(4)]
        await until_async(lambda: running.pool.statistics().submitters == 3, "three wait for a place")
        release.touch()
        time.sleep(0.3)  # the loop is busy meanwhile, and both answers wait for it
        async with asyncio.timeout(60):
            assert all(result.ok for result in await asyncio.gather(*blockers, *others))


@pytest.mark.processes
@pytest.mark.parametrize("payload", [None, {"unset": half_made()}])
async def test_a_payload_that_breaks_while_it_is_encoded_costs_its_unit_and_no_worker(payload: Any) -> None:
    async with running_pool(workers=1) as running, asyncio.timeout(60):
        error = (await running.pool.run(WorkUnit(handler="echo", payload=payload))).error
        assert error is not None
        assert error.code == "payload_unserialisable"
        assert (await running.pool.run(WorkUnit(handler="echo", payload={}))).ok


@pytest.mark.processes
@pytest.mark.parametrize("timeout_s", [0.0, -100.0, float("nan")])
async def test_a_unit_that_has_no_time_at_all_is_late_and_no_poison(timeout_s: float) -> None:
    async with running_pool(workers=1) as running, asyncio.timeout(60):
        result = await running.pool.run(WorkUnit(handler="echo", payload={}, timeout_s=timeout_s))
        assert result.error is not None
        assert (result.error.code, result.attempt) == ("unit_timed_out", 1)
        assert running.pool.statistics().workers_lost == 0


@pytest.mark.processes
async def test_a_worker_whose_last_words_are_a_result_is_given_no_further_unit(tmp_path: Path) -> None:
    release, began = tmp_path / "release", tmp_path / "began"
    async with running_pool(workers=1) as running, asyncio.timeout(60):
        pool, wait = running.pool, {"began": str(began), "until": str(release)}
        first = asyncio.create_task(pool.run(WorkUnit(handler="wait_for_file", payload=wait, max_attempts=1)))
        await until_async(lambda: lines_of(began), "the worker is busy")
        second = asyncio.create_task(pool.run(WorkUnit(handler="echo", payload={}, max_attempts=1)))
        await until_async(lambda: pool.queue_depth() == 1, "the other one waits")
        (link,) = pool._links
        link._transport.pause_reading()  # the kernel's word of its end comes first
        release.touch()
        channel, victim = link._transport.get_extra_info("socket").fileno(), running.workers.pid(0)
        assert select.select([channel], [], [], 10)[0]
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        assert [(each.ok, each.attempt) for each in await asyncio.gather(first, second)] == [(True, 1), (True, 1)]
        assert pool.statistics().workers_lost == 0
