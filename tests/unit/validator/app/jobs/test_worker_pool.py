"""N workers, one queue, a handler for each kind of job."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import Struct

from gaia.validator.app.compute.unit_errors import HandlerUnknown, PoolClosed
from gaia.validator.app.jobs.worker_pool import WorkerPool
from tests.support.waiting import until_async


class Errand(Struct, frozen=True, kw_only=True):
    """A job that is no weather."""

    kind: str
    number: int = 0


class Desk:
    """Handlers that note what they did."""

    def __init__(self) -> None:
        self.done: list[tuple[str, int]] = []
        self.at_once = 0
        self.most_at_once = 0
        self.gate = asyncio.Event()

    async def note(self, job: Errand) -> None:
        self.done.append((job.kind, job.number))

    async def wait(self, job: Errand) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.gate.wait()
        self.at_once -= 1
        await self.note(job)

    async def fail(self, _: Errand) -> None:
        raise ZeroDivisionError

    async def await_cancelled(self, _: Errand) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future


async def test_each_job_goes_to_the_handler_of_its_kind_and_the_block_ends_when_all_are_done() -> None:
    a, b = Desk(), Desk()
    async with WorkerPool({"a": a.note, "b": b.note}, workers=3, timeout_s=10.0) as pool:
        for number in range(50):
            await pool.put(Errand(kind="ab"[number % 2], number=number))
    assert sorted(a.done) == [("a", number) for number in range(0, 50, 2)]
    assert sorted(b.done) == [("b", number) for number in range(1, 50, 2)]
    assert (pool.statistics().done, pool.statistics().failed, pool.statistics().busy) == (50, 0, 0)


async def test_no_more_jobs_run_at_once_than_there_are_workers() -> None:
    desk = Desk()
    async with WorkerPool({"wait": desk.wait}, workers=2, timeout_s=10.0) as pool:
        for number in range(6):
            await pool.put(Errand(kind="wait", number=number))
        await until_async(lambda: desk.at_once == 2, "two are busy")
        assert (pool.statistics().waiting, pool.statistics().busy, pool.free) == (4, 2, 0)
        desk.gate.set()
    assert (desk.most_at_once, len(desk.done)) == (2, 6)


async def test_whoever_puts_waits_while_the_queue_is_full() -> None:
    desk = Desk()
    async with WorkerPool({"wait": desk.wait}, workers=1, timeout_s=10.0, capacity=1) as pool:
        await pool.put(Errand(kind="wait"))
        await until_async(lambda: pool.statistics().busy == 1, "one is busy")
        await pool.put(Errand(kind="wait"))
        third = asyncio.create_task(pool.put(Errand(kind="wait")))
        await asyncio.sleep(0)
        assert not third.done()
        desk.gate.set()
        await asyncio.wait_for(third, 30)
    assert len(desk.done) == 3


@pytest.mark.parametrize("kind", ["fail", "await_cancelled"])
async def test_a_job_that_fails_costs_itself_alone(kind: str) -> None:
    desk = Desk()
    handlers = {"fail": desk.fail, "await_cancelled": desk.await_cancelled, "note": desk.note}
    async with WorkerPool(handlers, workers=1, timeout_s=10.0) as pool:
        await pool.put(Errand(kind=kind))
        await pool.put(Errand(kind="note"))
        await pool.join()
        assert (pool.statistics().done, pool.statistics().failed) == (1, 1)


async def test_a_job_past_its_time_is_cancelled_and_counted() -> None:
    desk = Desk()
    async with WorkerPool({"wait": desk.wait, "note": desk.note}, workers=1, timeout_s=0.05) as pool:
        await pool.put(Errand(kind="wait"))
        await pool.put(Errand(kind="note", number=1))
    assert desk.done == [("note", 1)]
    assert pool.statistics().failed == 1


async def test_an_exception_in_the_block_cancels_what_runs() -> None:
    desk = Desk()
    with pytest.raises(KeyError):
        async with WorkerPool({"wait": desk.wait}, workers=1, timeout_s=600.0) as pool:
            await pool.put(Errand(kind="wait"))
            await until_async(lambda: pool.statistics().busy == 1, "it runs")
            raise KeyError
    assert desk.done == []
    assert pool.statistics().busy == 0


async def test_chosen_jobs_are_cancelled_and_their_places_go_to_those_who_wait() -> None:
    desk = Desk()
    freed = []
    async with WorkerPool({"wait": desk.wait}, workers=2, on_free=lambda: freed.append(1)) as pool:
        for number in range(3):
            await pool.put(Errand(kind="wait", number=number))
        await until_async(lambda: desk.at_once == 2, "two are busy")
        pool.cancel(lambda job: job.number == 0)
        await until_async(lambda: freed == [1], "one has ended")
        assert [job.number for job in pool.in_progress] == [1, 2]
        desk.gate.set()
    assert sorted(desk.done) == [("wait", 1), ("wait", 2)]
    assert (pool.statistics().done, pool.statistics().failed) == (2, 1)


async def test_who_waits_for_a_place_when_the_block_ends_is_told_that_the_job_was_not_taken() -> None:
    desk = Desk()
    async with WorkerPool({"wait": desk.wait}, workers=1, capacity=0) as pool:
        await pool.put(Errand(kind="wait"))
        late = asyncio.create_task(pool.put(Errand(kind="wait", number=1)))
        await until_async(lambda: desk.at_once == 1, "one is busy")
        asyncio.get_running_loop().call_soon(desk.gate.set)
    with pytest.raises(PoolClosed, match="has ended"):
        await asyncio.wait_for(late, 30)
    assert desk.done == [("wait", 0)]


async def test_what_nobody_could_do_is_refused_at_once() -> None:
    desk = Desk()
    pool = WorkerPool({"note": desk.note}, workers=1, timeout_s=1.0)
    with pytest.raises(PoolClosed, match="async with"):
        await pool.put(Errand(kind="note"))
    async with pool:
        with pytest.raises(HandlerUnknown, match="'typo'"):
            await pool.put(Errand(kind="typo"))
