"""The scheduler: it puts what is due, again and again, and no fault of a task or the database ends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import structlog

from gaia.contracts.clock import WorldClock
from gaia.contracts.errors import SourceFault
from gaia.contracts.ids import RunId
from gaia.contracts.job import Connection, NewJob
from gaia.contracts.unit import ResultUnit, WorkUnit
from gaia.tasks.defined_tasks.base import MinerScore, Step, TaskContext
from gaia.validator.app.jobs.scheduler import Scheduler
from tests.support.clock import ManualClock
from tests.support.memory_queue import MemoryQueue, MemoryStore

BOUND_S = 20.0
NOT_USED = cast("Any", None)


class CalendarAway(SourceFault):
    """What a task's schedule may raise."""


class HourlyTask:
    """A task that wants one job an hour, by the world's clock."""

    name = "hourly"
    steps: Mapping[str, Step] = {}
    trouble: Exception | None = None

    async def due_jobs(self, ctx: TaskContext) -> Sequence[NewJob]:
        if self.trouble is not None:
            raise self.trouble
        return [NewJob(kind="hourly.open", key=f"hourly.open:{ctx.world.now():%Y%m%dT%H}")]

    async def newest_scored_run(self, netuid: int, conn: Connection) -> RunId | None:
        raise NotImplementedError

    async def scores(self, run_id: str, conn: Connection) -> Sequence[MinerScore]:
        return []

    async def dispatch(self, unit: WorkUnit, ctx: TaskContext) -> ResultUnit | None:
        return None


def context_of(clock: ManualClock, store: MemoryStore) -> TaskContext:
    return TaskContext(
        netuid=57,
        clock=clock,
        world=WorldClock(clock, timedelta(days=365)),
        database=NOT_USED,
        queue=MemoryQueue(store, owner="test", lease=timedelta(seconds=30)),
        chain=NOT_USED,
        miners=NOT_USED,
        miner_concurrency=4,
        runs_by_hand=False,
        signer=NOT_USED,
        compute=NOT_USED,
        data_dir=Path("/nowhere"),
        log=structlog.get_logger(),
    )


@asynccontextmanager
async def scheduling(*tasks: HourlyTask) -> AsyncIterator[tuple[ManualClock, MemoryStore]]:
    """A running scheduler that has asked once and sleeps."""
    clock = ManualClock()
    store = MemoryStore(clock)
    running = asyncio.create_task(Scheduler(tasks, context_of(clock, store)).run())
    try:
        await asyncio.wait_for(clock.until_asleep(), BOUND_S)
        yield clock, store
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def pass_time(clock: ManualClock, by: timedelta) -> None:
    """Move the clock on and let the scheduler go round once."""
    await clock.advance(by)
    await asyncio.wait_for(clock.until_asleep(), BOUND_S)


async def test_what_is_due_is_put_once_however_often_it_is_asked_for() -> None:
    async with scheduling(HourlyTask()) as (clock, store):
        await pass_time(clock, timedelta(seconds=2))
        assert list(store.rows) == ["hourly.open:20160102T00"]  # 2017-01-01T00Z, in a world a (leap) year behind
        await pass_time(clock, timedelta(hours=1))
        assert list(store.rows) == ["hourly.open:20160102T00", "hourly.open:20160102T01"]


@pytest.mark.parametrize("trouble", [CalendarAway("no calendar"), TimeoutError("the query took a minute")])
async def test_a_task_whose_schedule_fails_neither_stops_the_others_nor_itself(trouble: Exception) -> None:
    away, well = HourlyTask(), HourlyTask()
    away.trouble = trouble
    async with scheduling(away, well) as (clock, store):
        assert len(store.rows) == 1
        well.trouble, away.trouble = trouble, None
        await pass_time(clock, timedelta(hours=1))
        assert len(store.rows) == 2


async def test_putting_what_is_due_says_how_many_were_new() -> None:
    clock = ManualClock()
    context = context_of(clock, MemoryStore(clock))
    task = HourlyTask()
    scheduler = Scheduler([task], context)
    assert [await scheduler.put_due(task) for _ in range(2)] == [1, 0]
