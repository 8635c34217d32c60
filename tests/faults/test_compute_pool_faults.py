"""What the pool promises when workers come and go, callers give up and the engine stops. Worse: the other modules."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from gaia.contracts.unit import ResultUnit, WorkUnit
from gaia.validator.app.compute.compute_pool import ComputePool
from gaia.validator.app.compute.pool_settings import PoolSettings
from tests.support.pools import running_pool
from tests.support.waiting import is_running, lines_of, until_async

pytestmark = pytest.mark.processes

MIB = 1024 * 1024


def submit(pool: ComputePool, handler: str, **payload: object) -> asyncio.Task[ResultUnit]:
    return asyncio.create_task(pool.run(WorkUnit(handler=handler, payload=payload)))


async def started_worker(began: Path) -> int:
    """The pid of the worker whose handler has begun."""
    return int((await until_async(lambda: lines_of(began), "the handler begins"))[0])


def error_code(result: ResultUnit) -> str | None:
    return result.error.code if result.error is not None else None


async def test_a_unit_that_survives_its_third_try_is_no_poison(tmp_path: Path) -> None:
    async with running_pool(workers=2) as running:
        result = await submit(running.pool, "die_until", path=str(tmp_path / "lives"), lives=3)
        assert (result.ok, result.attempt) == (True, 3)


async def test_recycling_loses_no_unit_and_does_none_twice(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with running_pool(workers=2, settings=PoolSettings(recycle_units=10)) as running:
        sent, pids = 0, set()
        while running.pool.statistics().retired < 4:  # one at a time: the next waits for the replacement to dial in
            names = [str(number) for number in range(sent, sent + 10)]
            results = await asyncio.gather(
                *(submit(running.pool, "record", path=str(log), name=name) for name in names)
            )
            assert all(result.ok and result.attempt == 1 for result in results)
            pids |= {result.value["pid"] for result in results if result.value is not None}
            sent += 10
        assert sorted(lines_of(log), key=int) == [str(number) for number in range(sent)]
        assert len(pids) >= 4
        assert running.pool.statistics().workers_lost == 0


async def test_a_worker_asked_to_stop_finishes_its_unit_first(tmp_path: Path) -> None:
    async with running_pool(workers=1) as running:
        began, release = tmp_path / "began", tmp_path / "release"
        task = submit(running.pool, "wait_for_file", began=str(began), until=str(release))
        pid = await started_worker(began)
        os.kill(pid, signal.SIGTERM)
        after = submit(running.pool, "echo", after=True)
        release.touch()
        result = await task
        assert result.value == {"pid": pid}
        assert result.attempt == 1
        assert (await after).ok
        await until_async(lambda: not is_running(pid), "the worker has left")
        assert running.pool.statistics().workers_lost == 0


async def test_cancelling_a_running_unit_kills_its_worker(tmp_path: Path) -> None:
    async with running_pool(workers=1) as running:
        began = tmp_path / "began"
        task = submit(running.pool, "wait_for_file", began=str(began), until=str(tmp_path / "never"))
        pid = await started_worker(began)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until_async(lambda: not is_running(pid), "the worker is dead")
        assert (await submit(running.pool, "echo")).ok
        assert len(lines_of(began)) == 1  # a cancelled unit is not given to another worker


async def test_submitters_wait_while_the_line_is_full_and_in_order(tmp_path: Path) -> None:
    async with running_pool(workers=1, settings=PoolSettings(queue_capacity=3)) as running:
        began, release, log = tmp_path / "began", tmp_path / "release", tmp_path / "log"
        blocker = submit(running.pool, "wait_for_file", began=str(began), until=str(release))
        await started_worker(began)
        tasks = [submit(running.pool, "record", path=str(log), name=str(number)) for number in range(10)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert running.pool.queue_depth() == 3
        tasks[5].cancel()  # one that still waits for a place
        release.touch()
        await asyncio.gather(blocker, *tasks, return_exceptions=True)
        assert lines_of(log) == [str(number) for number in range(10) if number != 5]


async def test_drain_lets_running_units_finish_and_refuses_the_rest(tmp_path: Path) -> None:
    async with running_pool(workers=1) as running:
        began, release = tmp_path / "began", tmp_path / "release"
        working = submit(running.pool, "wait_for_file", began=str(began), until=str(release))
        await started_worker(began)
        waiting = submit(running.pool, "echo")
        await asyncio.sleep(0)
        draining = asyncio.create_task(running.pool.drain(20.0))
        assert error_code(await waiting) == "pool_closed"
        assert error_code(await submit(running.pool, "echo")) == "pool_closed"
        release.touch()
        assert (await working).ok
        await draining


async def test_drain_kills_what_does_not_finish_within_the_grace_time(tmp_path: Path) -> None:
    async with running_pool(workers=1) as running:
        began = tmp_path / "began"
        working = submit(running.pool, "wait_for_file", began=str(began), until=str(tmp_path / "never"))
        pid = await started_worker(began)
        await running.pool.drain(0.1)
        assert error_code(await working) == "pool_closed"
        await until_async(lambda: not is_running(pid), "the worker is dead")


async def test_workers_outlive_an_engine_and_serve_the_next(tmp_path: Path) -> None:
    async with running_pool(workers=2) as running:
        first = await submit(running.pool, "environment", names=[])
        await running.pool.close()
        successor = ComputePool(socket_path=running.socket_path)
        await successor.start()
        results = await asyncio.gather(*(submit(successor, "environment", names=[]) for _ in range(20)))
        await successor.close()
        assert first.value is not None
        pids = {result.value["pid"] for result in results if result.value is not None}
        assert pids <= {running.workers.pid(0), running.workers.pid(1)}
        assert first.value["pid"] in {running.workers.pid(0), running.workers.pid(1)}


async def test_workers_are_single_threaded_and_bound_to_nothing_else() -> None:
    names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "DATABASE_URL"]
    async with running_pool(workers=1) as running:
        value = (await submit(running.pool, "environment", names=names)).value
        assert value is not None
        assert value["variables"] == {**dict.fromkeys(names, "1"), "DATABASE_URL": None}
        assert value["oom_score_adj"] == "800"
        # A worker that has done nothing yet has loaded nothing heavy.
        heavy = {"numpy", "numba", "asyncio", "structlog", "asyncpg", "aiohttp", "prometheus_client", "pydantic"}
        assert heavy & set(value["modules"]) == set()
