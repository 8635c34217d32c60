"""N asyncio workers that drain one bounded queue of jobs, each job to the handler of its kind.

For work that waits (network, database) inside one event loop; work that computes goes to a `ProcessPool`. Jobs live in
memory only: what must survive a crash belongs into the durable queue (`gaia.contracts.job`). A handler that fails costs
its own job and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

import structlog
from msgspec import Struct

from gaia.validator.app.compute.unit_errors import HandlerUnknown, PoolClosed


class OfAKind(Protocol):
    """Any job: `gaia.contracts.job.Job`, or a struct of yours."""

    @property
    def kind(self) -> str: ...


J = TypeVar("J", bound=OfAKind)

JobHandler = Callable[[J], Awaitable[None]]


class WorkerPoolStatistics(Struct, frozen=True, kw_only=True):
    """Where the pool stands, and counts since its start."""

    waiting: int
    busy: int
    done: int
    failed: int


class WorkerPool(Generic[J]):
    """Use with `async with`: a clean end lets everything that was put finish; an exception cancels it."""

    def __init__(
        self, handlers: Mapping[str, JobHandler[J]], *, workers: int, timeout_s: float, capacity: int = 1000
    ) -> None:
        """`timeout_s` bounds one job; `capacity` the jobs that wait, above which `put` waits too."""
        self._handlers = handlers
        self._workers = workers
        self._timeout_s = timeout_s
        self._queue: asyncio.Queue[J] = asyncio.Queue(capacity)
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = True
        self._busy = self._done = self._failed = 0
        self._log = structlog.get_logger("worker_pool")

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._tasks = [self._group.create_task(self._work(), name=f"worker-{n}") for n in range(self._workers)]
        self._closed = False
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._closed = True
        try:
            if error is None:
                await self._queue.join()  # bounded: every job has its timeout
        finally:
            for task in self._tasks:
                task.cancel()
            # Without the block's own error, which goes on as it is and not in a group.
            await self._group.__aexit__(None, None, None)

    async def put(self, job: J) -> None:
        """Add a job; waits while the queue is full. Raises HandlerUnknown, or PoolClosed outside of `async with`."""
        if self._closed:
            raise PoolClosed("the worker pool is not open: use it inside `async with`")
        if job.kind not in self._handlers:
            raise HandlerUnknown(f"no handler takes jobs of the kind {job.kind!r}")
        await self._queue.put(job)

    async def join(self) -> None:
        """Until all that was put has been worked on."""
        await self._queue.join()

    def statistics(self) -> WorkerPoolStatistics:
        """Where the pool stands."""
        return WorkerPoolStatistics(waiting=self._queue.qsize(), busy=self._busy, done=self._done, failed=self._failed)

    async def _work(self) -> None:
        while True:
            job = await self._queue.get()
            self._busy += 1
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._handlers[job.kind](job)
            except asyncio.CancelledError:
                if _is_being_cancelled():
                    raise
                self._note_failure(job)  # something that the handler awaited was cancelled, not we
            except Exception:  # noqa: BLE001  a service loop: what a handler raises costs its job alone
                self._note_failure(job)
            else:
                self._done += 1
            finally:
                self._busy -= 1
                self._queue.task_done()

    def _note_failure(self, job: J) -> None:
        self._failed += 1
        self._log.exception("job_failed", kind=job.kind)


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
