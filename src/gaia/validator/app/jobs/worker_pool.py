"""Runs at most N jobs at once in one event loop. Each job has its own asyncio task, and its kind selects the handler.

It is for work that waits (network, database). Work that computes belongs in a `ProcessPool`. The pool keeps its jobs in
memory only; the dispatcher uses it for the jobs of the durable queue (`gaia.contracts.job`). If a handler fails, only
its own job fails.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

import structlog
from msgspec import Struct

from gaia.validator.app.compute.unit_errors import HandlerUnknown, PoolClosed


class OfAKind(Protocol):
    """Any job: `gaia.contracts.job.Job`, or another struct with a kind."""

    @property
    def kind(self) -> str: ...


J = TypeVar("J", bound=OfAKind)

JobHandler = Callable[[J], Awaitable[None]]


class WorkerPoolStatistics(Struct, frozen=True, kw_only=True):
    """The present state of the pool, and its counts since its start."""

    waiting: int
    busy: int
    done: int
    failed: int


class WorkerPool(Generic[J]):
    """Use it with `async with`. At a normal end of the block all jobs finish; at an exception they are cancelled."""

    def __init__(
        self,
        handlers: Mapping[str, JobHandler[J]],
        *,
        workers: int,
        timeout_s: float | None = None,
        capacity: int = 1000,
        on_free: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare a pool; `async with` opens it.

        Args:
            handlers: Job kind -> the function that does the job.
            workers: The number of jobs that run at once.
            timeout_s: The time limit of one job; None: no limit.
            capacity: The number of jobs that may wait. If it is reached, `put` itself waits.
            on_free: Called whenever a job has ended.
        """
        self._handlers = handlers
        self._workers = workers
        self._timeout_s = timeout_s
        self._on_free = on_free
        self._places = asyncio.Semaphore(workers + capacity)
        self._waiting: deque[J] = deque()
        self._running: dict[asyncio.Task[None], J] = {}
        self._nothing_left = asyncio.Event()
        self._nothing_left.set()
        self._closed = True
        self._done = self._failed = 0
        self._log = structlog.get_logger("worker_pool")

    async def __aenter__(self) -> Self:
        self._closed = False
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._closed = True
        try:
            if error is None:
                await self.join()
        finally:
            for _ in range(len(self._waiting)):
                self._places.release()
            self._waiting.clear()
            self.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def put(self, job: J) -> None:
        """Add a job. Waits while the pool is full. Raises HandlerUnknown, or PoolClosed outside of `async with`."""
        if self._closed:
            raise PoolClosed("the worker pool is not open: use it inside `async with`")
        if job.kind not in self._handlers:
            raise HandlerUnknown(f"no handler takes jobs of the kind {job.kind!r}")
        await self._places.acquire()
        if self._closed:  # the block ended while this waited
            self._places.release()
            raise PoolClosed("the worker pool has ended before the job got a place")
        self._nothing_left.clear()
        self._waiting.append(job)
        self._start_waiting()

    async def join(self) -> None:
        """Wait until all jobs have ended."""
        await self._nothing_left.wait()

    def cancel(self, which: Callable[[J], bool] = lambda _: True) -> None:
        """Cancel the running jobs for which `which` is true; by default all."""
        for task, job in self._running.items():
            if which(job):
                task.cancel()

    @property
    def in_progress(self) -> list[J]:
        """The running jobs."""
        return list(self._running.values())

    @property
    def free(self) -> int:
        """How many more jobs would start at once."""
        return max(0, self._workers - len(self._running) - len(self._waiting))

    def statistics(self) -> WorkerPoolStatistics:
        """The present state of the pool, and its counters."""
        return WorkerPoolStatistics(
            waiting=len(self._waiting), busy=len(self._running), done=self._done, failed=self._failed
        )

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < self._workers:
            job = self._waiting.popleft()
            task = asyncio.create_task(self._work(job), name=f"{job.kind}-job")
            self._running[task] = job
            # A callback instead of a finally, because a task that is cancelled before its first step runs no finally.
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        if task.cancelled():
            self._failed += 1
        self._places.release()
        self._start_waiting()
        if not self._running:
            self._nothing_left.set()
        self._on_free()

    async def _work(self, job: J) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._handlers[job.kind](job)
        except asyncio.CancelledError:
            if _is_being_cancelled():
                raise
            self._note_failure(job)  # something that the handler awaited was cancelled, not the job itself
        except Exception:  # noqa: BLE001  a service loop: only the handler's own job fails
            self._note_failure(job)
        else:
            self._done += 1

    def _note_failure(self, job: J) -> None:
        self._failed += 1
        self._log.exception("job_failed", kind=job.kind)


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
