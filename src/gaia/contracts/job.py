"""Durable jobs: the contract between the queue and those who work on it.

A job is *ready*, *leased* to a worker, *done* or *dead*. Each claim raises its `fence`, which never falls;
only the holder of the newest fence can extend the lease or finish the job. `attempt` is the retry budget alone.
Results and completion are written in one transaction, so an effect happens exactly once.
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
"""`until` comes from the validator's clock and is compared with the database's: if that one is ahead, a job that waits
would come back at once, again and again.
"""


class JobState(StrEnum):
    """Where a job stands."""

    READY = "ready"  # waits for its run_at and a free worker
    LEASED = "leased"  # somebody works on it, until lease_until
    DONE = "done"  # its effects are committed
    DEAD = "dead"  # given up; `last_error` says why; a person may put it back


class NewJob(Struct, frozen=True, kw_only=True):
    """A job to be put in the line. A second one of the same `key` is the same job and is ignored."""

    kind: str
    key: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 0
    run_at: datetime | None = None
    """Not before this instant; None: at once."""
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
    """Somebody else has the job by now; whatever this worker wrote was rolled back."""


class Permanent(ValidatorFault):
    """Trying again cannot help: the job is dead."""


class Later(Exception):
    """Put the job back until an instant, without using up an attempt."""

    def __init__(self, until: datetime, why: str = "") -> None:
        super().__init__(f"not before {until.isoformat()}: {why}")
        self.until = until
        self.why = why


class Connection(Protocol):
    """The part of an asyncpg connection that queries use, so that nobody else needs the driver."""

    async def execute(self, query: str, *args: Any) -> str: ...

    async def executemany(self, command: str, args: Any) -> None: ...

    async def fetch(self, query: str, *args: Any) -> list[Any]: ...

    async def fetchrow(self, query: str, *args: Any) -> Any: ...

    async def fetchval(self, query: str, *args: Any) -> Any: ...


class Queue(Protocol):
    """A durable line of jobs. Implementations pass the suite in tests/contract/queue_suite.py."""

    async def put(self, *jobs: NewJob, conn: Connection | None = None) -> int:
        """Add jobs, in the caller's transaction if `conn` is given. Returns how many were new."""
        ...

    async def claim(self, kinds: Collection[str], limit: int) -> Sequence[Job]:
        """Lease up to `limit` ready jobs, most urgent first."""
        ...

    async def heartbeat(self, jobs: Collection[Job]) -> Collection[int]:
        """Extend the leases that are still held; returns the ids of those."""
        ...

    def completing(self, job: Job) -> AbstractAsyncContextManager[Connection]:
        """A transaction that ends with the job done. Raises LeaseLost, and rolls back, if it is no longer ours."""
        ...

    async def retry(self, job: Job, error: str, delay: timedelta | None = None) -> JobState:
        """Give the job back after a failure: ready again after a jittered back-off, or dead when used up."""
        ...

    async def bury(self, job: Job, error: str) -> None:
        """The job is dead."""
        ...

    async def postpone(self, job: Job, until: datetime, why: str) -> None:
        """The job comes back at `until`, but not at once; no attempt is used up."""
        ...

    async def release(self, job: Job) -> None:
        """Hand the job back untouched, at a drain; no attempt is used up."""
        ...

    async def rescue(self) -> int:
        """Free the jobs whose lease ran out; returns how many."""
        ...
