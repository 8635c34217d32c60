"""The dispatcher with a queue in memory and a clock in the hand: what becomes of a job, and of the dispatcher."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import structlog
from structlog.testing import capture_logs

from gaia.contracts.clock import WorldClock
from gaia.contracts.errors import MinerFault
from gaia.contracts.job import Job, JobState, Later, LeaseLost, NewJob, Permanent
from gaia.tasks.defined_tasks.base import Step, TaskContext, TaskResult
from gaia.validator.app.jobs.dispatcher import Dispatcher
from tests.support.clock import ManualClock
from tests.support.memory_queue import MemoryQueue, MemoryStore
from tests.support.waiting import until_async

LEASE = timedelta(seconds=30)
BOUND_S = 20.0
NOT_USED = cast("Any", None)


class Overdue(MinerFault):
    """An error that knows its code."""


class UnwellQueue(MemoryQueue):
    """A queue whose database can be made to be away."""

    refused = 0
    """Claims and heartbeats that failed."""
    refusals_left = 0
    """So many claims fail."""
    is_deaf = False
    """Whether everything but claims fails."""

    async def claim(self, kinds: Collection[str], limit: int) -> Sequence[Job]:
        if self.refusals_left:
            self.refusals_left -= 1
            self.refused += 1
            raise ConnectionError("the database is away")
        return await super().claim(kinds, limit)

    async def heartbeat(self, jobs: Collection[Job]) -> Collection[int]:
        self._listen()
        return await super().heartbeat(jobs)

    async def release(self, job: Job) -> None:
        self._listen()
        await super().release(job)

    async def retry(self, job: Job, error: str, delay: timedelta | None = None) -> JobState:
        self._listen()
        return await super().retry(job, error, delay)

    def _listen(self) -> None:
        if self.is_deaf:
            self.refused += 1
            raise ConnectionError("the database is away")


class Desk:
    """A dispatcher, what it works on, and what its steps do."""

    def __init__(self, concurrency: int = 4) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock)
        self.queue = UnwellQueue(self.store, owner="test", lease=LEASE)
        self.started: list[str] = []
        self.began = asyncio.Event()
        self.gate = asyncio.Event()
        self.stop = asyncio.Event()
        self.context = TaskContext(
            netuid=57,
            clock=self.clock,
            world=WorldClock(self.clock),
            database=NOT_USED,
            queue=self.queue,
            chain=NOT_USED,
            miners=NOT_USED,
            miner_concurrency=4,
            runs_by_hand=False,
            signer=NOT_USED,
            compute=NOT_USED,
            data_dir=Path("/nowhere"),
            log=structlog.get_logger(),
        )
        steps: dict[str, Step] = {
            "finish": self.finish, "later": later, "permanent": permanent, "fault": fault, "crash": crash,
            "wait": self.wait, "lost": lost,
        }  # fmt: skip
        self.has_room = True
        self.dispatcher = Dispatcher(
            queue=self.queue, steps=steps, context=self.context, concurrency=concurrency, lease=LEASE,
            may_begin=lambda: self.has_room,
        )  # fmt: skip

    async def finish(self, job: Job, ctx: TaskContext) -> TaskResult:
        async with ctx.queue.completing(job) as conn:
            await conn.execute("INSERT INTO effect VALUES ($1)", job.key)
        return TaskResult(event="job_finished")

    async def wait(self, job: Job, ctx: TaskContext) -> TaskResult:
        self.started.append(job.key)
        self.began.set()
        await self.gate.wait()
        return await self.finish(job, ctx)

    @asynccontextmanager
    async def running(self, grace_s: float = BOUND_S) -> AsyncIterator[None]:
        """The dispatcher at work; stopped, within the grace time, at the end."""
        work = asyncio.create_task(self.dispatcher.run(self.stop, grace_s))
        try:
            yield
        finally:
            self.stop.set()
            await asyncio.wait_for(work, BOUND_S)

    async def put(self, *keys: str, max_attempts: int = 8) -> None:
        """Jobs whose kind is the first word of their key."""
        await self.queue.put(
            *(NewJob(kind=key.split("-", maxsplit=1)[0], key=key, max_attempts=max_attempts) for key in keys)
        )
        self.dispatcher.wake()

    async def until(self, key: str, state: JobState, *, attempt: int | None = None) -> Job:
        """Wait until a job stands so."""

        def found() -> Job | None:
            job = self.store.rows[key].job
            return job if job.state is state and attempt in (None, job.attempt) else None

        return await until_async(found, f"{key} is {state}")


async def later(job: Job, ctx: TaskContext) -> TaskResult:
    raise Later(ctx.clock.now() + timedelta(hours=1), "ERA5 is not out")


async def permanent(job: Job, ctx: TaskContext) -> TaskResult:
    raise Permanent("the run does not exist")


async def fault(job: Job, ctx: TaskContext) -> TaskResult:
    raise Overdue("too late")


async def crash(job: Job, ctx: TaskContext) -> TaskResult:
    raise ZeroDivisionError("division by zero")


async def lost(job: Job, ctx: TaskContext) -> TaskResult:
    raise LeaseLost("somebody else has it")


async def test_a_finished_job_is_done_with_its_effect() -> None:
    desk = Desk()
    await desk.put("finish-1")
    async with desk.running():
        await desk.until("finish-1", JobState.DONE)
    assert [s.args for s in desk.store.committed] == [("finish-1",)]


async def test_later_puts_a_job_to_sleep_and_costs_no_attempt() -> None:
    desk = Desk()
    await desk.put("later-1")
    async with desk.running():
        await until_async(lambda: desk.store.rows["later-1"].last_error, "the job was put off")
    job = desk.store.rows["later-1"].job
    assert (job.state, job.attempt, job.fence) == (JobState.READY, 0, 1)
    assert job.run_at == desk.clock.now() + timedelta(hours=1)
    assert desk.store.rows["later-1"].last_error == "ERA5 is not out"


async def test_permanent_buries_a_job() -> None:
    desk = Desk()
    await desk.put("permanent-1")
    async with desk.running():
        await desk.until("permanent-1", JobState.DEAD)
    assert desk.store.rows["permanent-1"].last_error == "the run does not exist"


@pytest.mark.parametrize(
    ("kind", "error"), [("fault", "overdue: too late"), ("crash", "ZeroDivisionError: division by zero")]
)
async def test_a_failure_costs_an_attempt_and_the_last_one_the_job(kind: str, error: str) -> None:
    desk = Desk()
    await desk.put(f"{kind}-many")
    await desk.put(f"{kind}-one", max_attempts=1)
    async with desk.running():
        await desk.until(f"{kind}-one", JobState.DEAD)
        job = await desk.until(f"{kind}-many", JobState.READY, attempt=1)
    assert job.run_at > desk.clock.now()
    assert {row.last_error for row in desk.store.rows.values()} == {error}


async def test_a_job_that_was_lost_meanwhile_is_left_to_its_new_owner() -> None:
    desk = Desk()
    await desk.put("lost-1", "finish-1")
    async with desk.running():
        await desk.until("finish-1", JobState.DONE)
        await desk.until("lost-1", JobState.LEASED)
    assert desk.store.rows["lost-1"].job.attempt == 1


async def test_no_more_jobs_than_allowed_are_in_progress() -> None:
    desk = Desk(concurrency=2)
    await desk.put("wait-1", "wait-2", "wait-3")
    async with desk.running():
        await desk.until("wait-2", JobState.LEASED)
        await desk.put("finish-1")
        await asyncio.wait_for(desk.began.wait(), BOUND_S)
        assert desk.dispatcher.in_progress == 2
        assert desk.store.rows["wait-3"].job.state is JobState.READY
        desk.gate.set()
        for key in ("wait-1", "wait-2", "wait-3", "finish-1"):
            await desk.until(key, JobState.DONE)
    assert desk.dispatcher.in_progress == 0


async def test_leases_are_kept_while_a_job_is_worked_on() -> None:
    desk = Desk()
    await desk.put("wait-1")
    async with desk.running():
        await asyncio.wait_for(desk.began.wait(), BOUND_S)
        for _ in range(6):  # twice the lease's length, in its thirds
            await asyncio.wait_for(desk.clock.until_asleep(), BOUND_S)
            await desk.clock.advance(LEASE / 3)
        await asyncio.wait_for(desk.clock.until_asleep(), BOUND_S)
        assert await desk.queue.rescue() == 0
        desk.gate.set()
        await desk.until("wait-1", JobState.DONE)
    assert desk.started == ["wait-1"]


async def test_work_whose_lease_is_lost_is_cancelled_and_leaves_the_new_owner_alone() -> None:
    desk = Desk()
    await desk.put("wait-1")
    async with desk.running():
        await asyncio.wait_for(desk.began.wait(), BOUND_S)
        # The machine slept for a minute; another dispatcher has rescued and claimed the job.
        other = MemoryQueue(desk.store, owner="other", lease=LEASE)
        await asyncio.wait_for(desk.clock.until_asleep(), BOUND_S)
        desk.clock.set_wall(desk.clock.now() + timedelta(minutes=1))
        assert await other.rescue() == 1
        (stolen,) = await other.claim(["wait"], 1)
        await desk.clock.advance(LEASE / 3)
        await until_async(lambda: desk.dispatcher.in_progress == 0, "nothing is worked on")
    assert desk.store.rows["wait-1"].job.fence == stolen.fence
    assert desk.store.rows["wait-1"].job.state is JobState.LEASED


async def test_a_job_lost_and_claimed_again_by_ourselves_is_still_looked_after() -> None:
    """Another engine of the same name has freed it at its start; the old task must not take the new one's place."""
    desk = Desk()
    await desk.put("wait-1")
    async with desk.running():
        await asyncio.wait_for(desk.began.wait(), BOUND_S)
        assert await MemoryQueue(desk.store, owner="test", lease=LEASE).reclaim() == 1
        desk.dispatcher.wake()
        await until_async(lambda: len(desk.started) == 2, "the job is claimed again")
        await until_async(lambda: desk.dispatcher.in_progress == 1, "the old task has ended")
        desk.gate.set()
        await desk.until("wait-1", JobState.DONE, attempt=2)


async def test_a_stop_lets_running_jobs_finish() -> None:
    desk = Desk()
    await desk.put("wait-1")
    async with desk.running():
        await asyncio.wait_for(desk.began.wait(), BOUND_S)
        desk.stop.set()
        await desk.put("finish-too-late")
        desk.gate.set()
        await desk.until("wait-1", JobState.DONE)
    assert desk.store.rows["finish-too-late"].job.state is JobState.READY


async def test_after_the_grace_time_a_stop_hands_running_jobs_back() -> None:
    desk = Desk()
    await desk.put("wait-1")
    async with desk.running(grace_s=0.0):
        await asyncio.wait_for(desk.began.wait(), BOUND_S)
    job = desk.store.rows["wait-1"].job
    assert (job.state, job.attempt, job.fence) == (JobState.READY, 0, 1)
    assert desk.store.committed == []


async def test_a_claim_that_fails_does_not_end_the_loop() -> None:
    desk = Desk()
    desk.queue.refusals_left = 1
    await desk.put("finish-1")
    async with desk.running():
        await until_async(lambda: desk.queue.refused == 1, "the claim failed")
        desk.dispatcher.wake()
        await desk.until("finish-1", JobState.DONE)
    assert desk.queue.refused == 1


async def test_claims_that_fail_again_and_again_are_told_once_a_minute() -> None:
    desk = Desk()
    desk.queue.refusals_left = 12

    def refused(count: int) -> bool:
        desk.dispatcher.wake()
        return desk.queue.refused >= count

    with capture_logs() as logs:
        async with desk.running():
            await until_async(lambda: refused(6), "claims fail")
            await desk.clock.advance(60.0)
            await until_async(lambda: refused(12), "claims fail a minute later")
            await desk.put("finish-1")
            desk.dispatcher.wake()
            await desk.until("finish-1", JobState.DONE)
    told = [(entry["event"], entry["away_s"]) for entry in logs if "away_s" in entry]
    assert told == [("claim_failed", 0.0), ("claim_failed", 60.0), ("claims_again", 60.0)]


async def test_a_heartbeat_that_fails_costs_no_job_its_lease() -> None:
    desk = Desk()
    await desk.put("wait-1")
    async with desk.running():
        await asyncio.wait_for(desk.began.wait(), BOUND_S)
        await asyncio.wait_for(desk.clock.until_asleep(), BOUND_S)
        desk.queue.is_deaf = True
        await desk.clock.advance(LEASE / 3)
        await asyncio.wait_for(desk.clock.until_asleep(), BOUND_S)
        desk.queue.is_deaf = False
        desk.gate.set()
        await desk.until("wait-1", JobState.DONE)
    assert desk.queue.refused == 1


async def test_a_database_that_is_away_when_a_job_is_settled_costs_only_the_lease() -> None:
    desk = Desk()
    desk.queue.is_deaf = True
    await desk.put("crash-1", "finish-1")
    async with desk.running():
        await desk.until("finish-1", JobState.DONE)
        await desk.until("crash-1", JobState.LEASED)
        await until_async(lambda: desk.dispatcher.in_progress == 0, "nothing is worked on")
    assert desk.store.rows["crash-1"].job.state is JobState.LEASED


async def test_a_stop_while_the_database_is_away_still_ends() -> None:
    desk = Desk()
    await desk.put("wait-1")
    async with desk.running(grace_s=0.0):
        await asyncio.wait_for(desk.began.wait(), BOUND_S)
        desk.queue.is_deaf = True
    assert desk.store.rows["wait-1"].job.state is JobState.LEASED
    assert desk.dispatcher.in_progress == 0


async def test_cancelling_the_dispatcher_leaves_no_task_behind() -> None:
    desk = Desk()
    await desk.put("wait-1")
    work = asyncio.create_task(desk.dispatcher.run(desk.stop, BOUND_S))
    await asyncio.wait_for(desk.began.wait(), BOUND_S)
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait_for(work, BOUND_S)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert desk.store.rows["wait-1"].job.state is JobState.READY


async def test_jobs_wait_while_none_may_begin_and_those_that_have_begun_go_on() -> None:
    desk = Desk()
    async with desk.running():
        await desk.put("wait-1")
        await asyncio.wait_for(desk.began.wait(), BOUND_S)
        desk.has_room = False
        await desk.put("finish-1")
        desk.gate.set()
        await desk.until("wait-1", JobState.DONE)
        assert desk.store.rows["finish-1"].job.attempt == 0
        desk.has_room = True
        desk.dispatcher.wake()
        await desk.until("finish-1", JobState.DONE, attempt=1)
