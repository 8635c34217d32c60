"""Works through the job queue: claims jobs, runs their steps, keeps their leases alive, and records their outcome.

Its worker pool runs the jobs in progress, and all of them have ended when `run` returns. The step decides what a job
means. The dispatcher never marks a job done: only `queue.completing` inside the step does, together with the results.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial

import structlog

from gaia.contracts.errors import GaiaError
from gaia.contracts.job import Job, Later, LeaseLost, Permanent, Queue
from gaia.tasks.defined_tasks.base import Step, TaskContext
from gaia.validator.app.jobs.worker_pool import WorkerPool
from gaia.validator.db.outage import Outage

_POLL = timedelta(seconds=1)
"""How often the loop looks for jobs without a notification. Also the pause after a failed query."""

_CLAIM_AT_ONCE = 64


class Dispatcher:
    """The loop over one queue."""

    def __init__(
        self,
        *,
        queue: Queue,
        steps: Mapping[str, Step],
        context: TaskContext,
        concurrency: int,
        lease: timedelta,
        may_begin: Callable[[], bool] = lambda: True,
    ) -> None:
        """`may_begin` is asked before jobs are claimed. While it is false, jobs wait and use up no attempt."""
        self._queue = queue
        self._steps = steps
        self._context = context
        self._lease = lease
        self._may_begin = may_begin
        self._log = structlog.get_logger("dispatcher")
        self._outage = Outage()
        self._wake = asyncio.Event()
        self._pool = WorkerPool[Job](dict.fromkeys(steps, self._work), workers=concurrency, on_free=self.wake)

    def wake(self) -> None:
        """Look for jobs now. Called on a notification."""
        self._wake.set()

    @property
    def in_progress(self) -> int:
        """The number of jobs in progress."""
        return len(self._pool.in_progress)

    async def run(self, stop: asyncio.Event, grace_s: float) -> None:
        """Work until `stop` is set. Then running jobs get the grace time to finish, and the others are handed back."""
        keeper = asyncio.create_task(self._keep_leases(), name="lease-keeper")
        stopping = asyncio.create_task(stop.wait(), name="dispatcher-stop")
        stopping.add_done_callback(lambda _: self.wake())
        try:
            async with self._pool:
                while not stop.is_set():
                    await self._claim_and_start()
                    await self._sleep_until_woken()
                await self._drain(grace_s)
        finally:
            stopping.cancel()
            keeper.cancel()
            await asyncio.gather(keeper, stopping, return_exceptions=True)

    async def _claim_and_start(self) -> None:
        self._wake.clear()
        free = min(self._pool.free, _CLAIM_AT_ONCE)
        if free <= 0 or not self._may_begin():
            return
        try:
            jobs = await self._queue.claim(self._steps.keys(), free)
        except Exception:  # noqa: BLE001  a service loop must survive every error of the database
            missed = self._outage.missed(self._context.clock.monotonic())
            if missed.worth_saying:
                self._log.exception("claim_failed", tries=missed.tries, away_s=round(missed.lasted_s, 1))
            return
        if (lasted_s := self._outage.over(self._context.clock.monotonic())) is not None:
            self._log.info("claims_again", away_s=round(lasted_s, 1))
        for job in jobs:
            # If this validator lost the job's lease and has claimed it again, the step of the old claim must end.
            self._pool.cancel(partial(_is_job, job.id))
            await self._pool.put(job)
        if len(jobs) == free:
            self.wake()

    async def _sleep_until_woken(self) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), _POLL.total_seconds())
        except TimeoutError:
            return

    async def _drain(self, grace_s: float) -> None:
        try:
            async with asyncio.timeout(grace_s):
                await self._pool.join()
        except TimeoutError:
            self._pool.cancel()

    async def _work(self, job: Job) -> None:
        with structlog.contextvars.bound_contextvars(
            job=job.key,
            run_id=job.payload.get("run_id"),
            hotkey=job.payload.get("hotkey"),
            attempt=job.attempt,
        ):
            try:
                await self._settle(job)
            except asyncio.CancelledError:
                # Shielded from the cancellation that is being handled, and bounded: the lease would end anyway.
                await asyncio.wait_for(asyncio.shield(self._hand_back(job)), self._lease.total_seconds())
                raise
            except Exception:  # noqa: BLE001  the database is away; when the lease has expired, the job is claimed again
                self._log.exception("job_settlement_failed")

    async def _settle(self, job: Job) -> None:
        try:
            outcome = await self._steps[job.kind](job, self._context)
        except Later as later:
            await self._queue.postpone(job, later.until, later.why)
        except LeaseLost:
            self._log.warning("lease_lost")
        except Permanent as error:
            self._log.error("job_buried", error=str(error))
            await self._queue.bury(job, str(error))
        except GaiaError as error:
            state = await self._queue.retry(job, f"{error.code}: {error}")
            self._log.warning("job_failed", error=str(error), code=error.code, fault=error.fault, state=state)
        except Exception as error:  # noqa: BLE001  the boundary of a step: every error uses up an attempt
            self._log.exception("job_crashed")
            await self._queue.retry(job, f"{type(error).__name__}: {error}")
        else:
            self._log.info(outcome.event, **outcome.detail)

    async def _hand_back(self, job: Job) -> None:
        try:
            await self._queue.release(job)
        except Exception:  # noqa: BLE001  the task is ending; the lease will expire anyway
            self._log.exception("release_failed")

    async def _keep_leases(self) -> None:
        while True:
            await self._context.clock.sleep(self._lease.total_seconds() / 3)
            try:
                # Snapshot first, because a job that is claimed during the heartbeat has not been lost.
                mine = self._pool.in_progress
                held = set(await self._queue.heartbeat(mine)) if mine else set()
                self._pool.cancel([job for job in mine if job.id not in held].__contains__)
                if await self._queue.rescue():
                    self.wake()
            except Exception:  # noqa: BLE001  a service loop must survive every error of the database
                self._log.exception("heartbeat_failed")


def _is_job(job_id: int, job: Job) -> bool:
    return job.id == job_id
