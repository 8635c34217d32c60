"""What happens to units when workers die, hang, grow or misbehave: real processes, real signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from pathlib import Path

import pytest

from gaia.contracts.unit import ResultUnit, WorkUnit
from gaia.validator.app.compute_pool import ComputePool
from gaia.validator.app.pool_settings import PoolSettings
from tests.support.pools import RunningPool, running_pool
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


async def test_an_idle_worker_killed_again_and_again_is_replaced_and_units_go_on() -> None:
    async with running_pool(workers=2) as running:
        for number in range(20):
            pid = await until_async(lambda: running.workers.pid(0), "slot 0 is filled")
            os.kill(pid, signal.SIGKILL)
            results = await asyncio.gather(*(submit(running.pool, "echo", number=number) for _ in range(3)))
            assert [result.value for result in results] == [{"number": number}] * 3


async def test_a_unit_whose_worker_is_killed_completes_elsewhere_and_bystanders_run_once(tmp_path: Path) -> None:
    async with running_pool(workers=2) as running:
        began, release, log = tmp_path / "began", tmp_path / "release", tmp_path / "log"
        victim = submit(running.pool, "wait_for_file", began=str(began), until=str(release))
        bystanders = [submit(running.pool, "record", path=str(log), name=str(number)) for number in range(30)]
        killed = await started_worker(began)
        os.kill(killed, signal.SIGKILL)
        await until_async(lambda: len(lines_of(began)) == 2, "the unit begins again")
        release.touch()
        result = await victim
        assert result.ok
        assert result.attempt == 2
        assert result.value is not None
        assert result.value["pid"] != killed
        assert all(result.attempt == 1 for result in await asyncio.gather(*bystanders))
        assert sorted(lines_of(log), key=int) == [str(number) for number in range(30)]
        assert running.pool.statistics().workers_lost == 1


async def test_a_unit_that_survives_its_third_try_is_no_poison(tmp_path: Path) -> None:
    async with running_pool(workers=2) as running:
        result = await submit(running.pool, "die_until", path=str(tmp_path / "lives"), lives=3)
        assert (result.ok, result.attempt) == (True, 3)


@pytest.mark.parametrize("handler", ["die", "vanish", "segfault"])
async def test_a_unit_that_kills_three_workers_is_poison_and_neighbours_are_untouched(handler: str) -> None:
    async with running_pool(workers=2) as running:
        poison = submit(running.pool, handler)
        neighbours = [submit(running.pool, "echo", number=number) for number in range(20)]
        result = await poison
        assert error_code(result) == "poison_unit"
        assert result.attempt == 3
        assert result.error is not None
        assert handler in result.error.message
        assert not result.error.retryable
        assert all(neighbour.ok for neighbour in await asyncio.gather(*neighbours))
        assert running.pool.statistics().workers_lost == 3


@pytest.mark.parametrize("handler", ["hold_interpreter", "hold_interpreter_busy"])
async def test_a_loop_that_holds_the_interpreter_is_killed_at_its_deadline(handler: str) -> None:
    async with running_pool(workers=1) as running:
        await submit(running.pool, "echo")
        result = await running.pool.run(WorkUnit(handler=handler, payload={}, timeout_s=0.3))
        assert error_code(result) == "unit_timed_out"
        assert result.duration_s >= 0.3
        assert (await submit(running.pool, "echo", again=True)).value == {"again": True}
        assert running.pool.statistics().timed_out == 1


async def test_a_stopped_worker_is_killed_at_the_deadline(tmp_path: Path) -> None:
    async with running_pool(workers=1) as running:
        began = tmp_path / "began"
        unit = WorkUnit(
            handler="wait_for_file", payload={"began": str(began), "until": str(tmp_path / "never")}, timeout_s=1.5
        )
        task = asyncio.create_task(running.pool.run(unit))
        stopped = await started_worker(began)
        os.kill(stopped, signal.SIGSTOP)
        assert error_code(await task) == "unit_timed_out"
        await until_async(lambda: not is_running(stopped), "the stopped worker is dead")
        assert (await submit(running.pool, "echo")).ok


async def test_a_unit_past_the_hard_memory_limit_fails_once_and_is_not_retried(tmp_path: Path) -> None:
    settings = PoolSettings(hard_memory_bytes=150 * MIB)
    async with running_pool(workers=2, settings=settings) as running:
        greedy = submit(running.pool, "allocate", bytes=250 * MIB, until=str(tmp_path / "never"))
        modest = submit(running.pool, "allocate", bytes=20 * MIB)
        result = await greedy
        assert error_code(result) == "memory_exceeded"
        assert result.attempt == 1
        assert result.error is not None
        assert "150 MiB" in result.error.message
        assert (await modest).ok
        assert running.pool.statistics().memory_exceeded == 1


async def test_an_allocation_that_the_machine_refuses_is_a_clean_error() -> None:
    # RLIMIT_DATA is three times the hard limit; one allocation beyond it fails before any page is touched.
    async with running_pool(workers=1, settings=PoolSettings(hard_memory_bytes=200 * MIB)) as running:
        assert error_code(await submit(running.pool, "allocate", bytes=2000 * MIB)) == "memory_exceeded"
        assert (await submit(running.pool, "echo")).ok
        assert running.pool.statistics().workers_lost == 0


async def test_a_worker_past_the_soft_limit_is_replaced_after_its_unit() -> None:
    async with running_pool(workers=1, settings=PoolSettings(soft_memory_bytes=100 * MIB)) as running:
        pids = []
        for _ in range(6):
            result = await submit(running.pool, "leak", bytes=60 * MIB)
            assert result.value is not None
            pids.append(result.value["pid"])
        assert len(set(pids)) >= 3  # two units at most before 100 MiB are passed
        assert all(pids.count(pid) <= 2 for pid in pids)
        statistics = running.pool.statistics()
        assert statistics.retired >= 2
        assert statistics.workers_lost == 0


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


async def test_a_worker_that_writes_rubbish_into_its_channel_is_not_trusted() -> None:
    async with running_pool(workers=1) as running:
        assert error_code(await submit(running.pool, "write_rubbish")) == "poison_unit"
        assert (await submit(running.pool, "echo")).ok


async def test_a_worker_that_closes_its_channel_and_lives_on_is_killed(tmp_path: Path) -> None:
    async with running_pool(workers=1) as running:
        began = tmp_path / "began"
        task = submit(running.pool, "close_channel", began=str(began))
        pid = await started_worker(began)
        assert error_code(await task) == "poison_unit"
        assert not is_running(pid)
        assert (await submit(running.pool, "echo")).ok


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


async def test_a_storm_of_kills_with_recycling_loses_and_doubles_nothing(tmp_path: Path) -> None:
    chance = random.Random(57)
    settings = PoolSettings(recycle_units=25, queue_capacity=50)
    async with running_pool(workers=2, settings=settings) as running:
        storm = asyncio.create_task(_storm(running, chance))
        units = [
            WorkUnit(handler="pause", payload={"number": number, "pause_s": 0.01}, max_attempts=100)
            for number in range(600)
        ]
        results = await asyncio.gather(*(running.pool.run(unit) for unit in units))
        await storm
        assert [result.error for result in results if not result.ok] == []
        assert [result.value["number"] for result in results if result.value] == list(range(600))
        assert running.pool.queue_depth() == 0


async def _storm(running: RunningPool, chance: random.Random) -> None:
    for _ in range(60):  # it ends, so that a machine on which workers start slowly gets through too
        if (pid := running.workers.pid(chance.randrange(2))) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(chance.uniform(0.0, 0.2))


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
