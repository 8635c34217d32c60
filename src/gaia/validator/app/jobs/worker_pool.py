"""At most N jobs at once in one event loop, each in a task of its own, each job to the handler of its kind.

For work that waits (network, database); work that computes goes to a `ProcessPool`. The dispatcher works the durable
queue (`gaia.contracts.job`) with it; alone it keeps its jobs in memory only. A handler that fails costs its own job and
nothing else.
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
        self,
        handlers: Mapping[str, JobHandler[J]],
        *,
        workers: int,
        timeout_s: float | None = None,
        capacity: int = 1000,
        on_free: Callable[[], None] = lambda: None,
    ) -> None:
        """`timeout_s` bounds one job; `capacity` the jobs that wait, above which `put` waits too. `on_free` is called
        whenever a job has ended.
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
            self._waiting.clear()
            self.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def put(self, job: J) -> None:
        """Add a job; waits while the pool is full. Raises HandlerUnknown, or PoolClosed outside of `async with`."""
        if self._closed:
            raise PoolClosed("the worker pool is not open: use it inside `async with`")
        if job.kind not in self._handlers:
            raise HandlerUnknown(f"no handler takes jobs of the kind {job.kind!r}")
        await self._places.acquire()
        self._nothing_left.clear()
        self._waiting.append(job)
        self._start_waiting()

    async def join(self) -> None:
        """Until all that was put has been worked on."""
        await self._nothing_left.wait()

    def cancel(self, which: Callable[[J], bool] = lambda _: True) -> None:
        """Cancel the jobs being worked on that `which` picks; all without it."""
        for task, job in self._running.items():
            if which(job):
                task.cancel()

    @property
    def in_progress(self) -> list[J]:
        """The jobs being worked on."""
        return list(self._running.values())

    @property
    def free(self) -> int:
        """How many more jobs would begin at once."""
        return max(0, self._workers - len(self._running) - len(self._waiting))

    def statistics(self) -> WorkerPoolStatistics:
        """Where the pool stands."""
        return WorkerPoolStatistics(
            waiting=len(self._waiting), busy=len(self._running), done=self._done, failed=self._failed
        )

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < self._workers:
            job = self._waiting.popleft()
            task = asyncio.create_task(self._work(job), name=f"{job.kind}-job")
            self._running[task] = job
            # A callback, not a finally: a task cancelled before its first step never reaches its finally.
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
            self._note_failure(job)  # something that the handler awaited was cancelled, not we
        except Exception:  # noqa: BLE001  a service loop: what a handler raises costs its job alone
            self._note_failure(job)
        else:
            self._done += 1

    def _note_failure(self, job: J) -> None:
        self._failed += 1
        self._log.exception("job_failed", kind=job.kind)


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
