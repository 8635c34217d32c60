"""Durable jobs: the contract between the queue and its workers.

A job is *ready*, *leased* to a worker, *done* or *dead*. Each claim raises its `fence`, which never falls. Only the
holder of the newest fence can extend the lease or finish the job. `attempt` only counts the retries. Results and
completion are written in one transaction, so each effect happens exactly once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from msgspec import Struct, field

from gaia.contracts.errors import ValidatorFault

SHORTEST_POSTPONEMENT = timedelta(seconds=1)
"""A postponed job waits at least this long. Its `until` comes from the validator's clock and is compared with the
database's. If the latter were ahead, the job would otherwise come back at once, again and again.
"""


class JobState(StrEnum):
    """The state of a job."""

    READY = "ready"  # waits for its run_at and a free worker
    LEASED = "leased"  # a worker has it until lease_until
    DONE = "done"  # its effects are committed
    DEAD = "dead"  # given up; `last_error` says why; an operator may put it back


class NewJob(Struct, frozen=True, kw_only=True):
    """A job for the queue. A second job with the same `key` is the same job and is ignored."""

    kind: str
    key: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 0
    run_at: datetime | None = None
    """The earliest time at which it may run; None: at once."""
    max_attempts: int = 8


class Job(Struct, frozen=True, kw_only=True):
    """A claimed job."""

    id: int
    kind: str
    key: str
    payload: Mapping[str, Any]
    priority: int
    run_at: datetime
    attempt: int
    max_attempts: int
    fence: int
    state: JobState


class LeaseLost(ValidatorFault):
    """Another worker has the job by now. Whatever this worker wrote was rolled back."""


class Permanent(ValidatorFault):
    """It cannot help to try again, so the job becomes dead."""


class Later(Exception):
    """Raised by a step to put its job back until an instant, without using up an attempt."""

    def __init__(self, until: datetime, why: str = "") -> None:
        super().__init__(f"not before {until.isoformat()}: {why}")
        self.until = until
        self.why = why


class Connection(Protocol):
    """The part of an asyncpg connection that queries use, so that other modules need not import the driver."""

    async def execute(self, query: str, *args: Any) -> str: ...

    async def executemany(self, command: str, args: Any) -> None: ...

    async def fetch(self, query: str, *args: Any) -> list[Any]: ...

    async def fetchrow(self, query: str, *args: Any) -> Any: ...

    async def fetchval(self, query: str, *args: Any) -> Any: ...


class Queue(Protocol):
    """A durable queue of jobs. Implementations pass the suite in tests/contract/queue_suite.py."""

    async def put(self, *jobs: NewJob, conn: Connection | None = None) -> int:
        """Add jobs, in the caller's transaction if `conn` is given. Returns how many were new."""
        ...

    async def claim(self, kinds: Collection[str], limit: int) -> Sequence[Job]:
        """Lease up to `limit` ready jobs, the most urgent first."""
        ...

    async def heartbeat(self, jobs: Collection[Job]) -> Collection[int]:
        """Extend the leases that are still held. Returns the ids of these jobs."""
        ...

    def completing(self, job: Job) -> AbstractAsyncContextManager[Connection]:
        """A transaction that ends with the job done. If the lease is lost it rolls back and raises LeaseLost."""
        ...

    async def retry(self, job: Job, error: str, delay: timedelta | None = None) -> JobState:
        """Return the job after a failure: ready again after a jittered back-off, or dead after its last attempt."""
        ...

    async def bury(self, job: Job, error: str) -> None:
        """Make the job dead."""
        ...

    async def postpone(self, job: Job, until: datetime, why: str) -> None:
        """Return the job until `until`, but at least for a moment. No attempt is used up."""
        ...

    async def release(self, job: Job) -> None:
        """Return the job untouched, when the worker stops. No attempt is used up."""
        ...

    async def rescue(self) -> int:
        """Make the jobs with an expired lease ready again. Returns how many."""
        ...
