"""A queue without a database, for tests of what uses queues. Passes the suite of the real one.

Transactions are real in what matters here: what happens in a block takes effect at its end or not at all. Domain
SQL is not run: the statements of committed transactions are kept in `MemoryStore.committed`, in order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from gaia.contracts.clock import Clock
from gaia.contracts.job import SHORTEST_POSTPONEMENT, Connection, Job, JobState, LeaseLost, NewJob
from gaia.validator.db.figures import QueueDepth
from gaia.validator.db.queue import backoff


@dataclass(frozen=True, kw_only=True)
class Row:
    """A job as the store keeps it."""

    job: Job
    lease_until: datetime | None = None
    leased_by: str | None = None
    last_error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One piece of SQL as it was given."""

    query: str
    args: tuple[Any, ...]


@dataclass
class MemoryConnection:
    """Collects what its transaction will do. Reading is not offered: there is nothing to read."""

    store: MemoryStore
    statements: list[Statement] = field(default_factory=list)
    jobs: dict[str, NewJob] = field(default_factory=dict)

    async def execute(self, query: str, *args: Any) -> str:
        self.statements.append(Statement(query=query, args=args))
        return "INSERT 0 1"

    async def executemany(self, command: str, args: Any) -> None:
        self.statements.extend(Statement(query=command, args=tuple(row)) for row in args)

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        raise NotImplementedError(f"the memory store cannot answer {query!r}; use the `database` fixture")

    async def fetchrow(self, query: str, *args: Any) -> Any:
        raise NotImplementedError(f"the memory store cannot answer {query!r}; use the `database` fixture")

    async def fetchval(self, query: str, *args: Any) -> Any:
        raise NotImplementedError(f"the memory store cannot answer {query!r}; use the `database` fixture")


class MemoryStore:
    """The table `job` and a record of everything else that was written. Its clock plays the database's."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.rows: dict[str, Row] = {}
        self.committed: list[Statement] = []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[MemoryConnection]:
        conn = MemoryConnection(store=self)
        yield conn
        self.committed += conn.statements
        for new in conn.jobs.values():
            self.add(new)

    def add(self, new: NewJob) -> bool:
        """Whether the key was new."""
        if new.key in self.rows:
            return False
        job = Job(
            id=len(self.rows) + 1,
            kind=new.kind,
            key=new.key,
            payload=new.payload,
            priority=new.priority,
            run_at=new.run_at or self.clock.now(),
            attempt=0,
            max_attempts=new.max_attempts,
            fence=0,
            state=JobState.READY,
        )
        self.rows[new.key] = Row(job=job)
        return True


class MemoryQueue:
    """gaia.contracts.job.Queue on a MemoryStore, with the extras of PostgresQueue."""

    def __init__(self, store: MemoryStore, *, owner: str, lease: timedelta) -> None:
        self._store = store
        self._owner = owner
        self._lease = lease

    async def put(self, *jobs: NewJob, conn: Connection | None = None) -> int:
        if conn is None:
            return sum(self._store.add(job) for job in jobs)
        assert isinstance(conn, MemoryConnection)
        new = {job.key: job for job in jobs if job.key not in self._store.rows and job.key not in conn.jobs}
        conn.jobs.update(new)
        return len(new)

    async def claim(self, kinds: Collection[str], limit: int) -> Sequence[Job]:
        now = self._store.clock.now()
        ready = [row.job for row in self._store.rows.values() if row.job.state is JobState.READY]
        due = [job for job in ready if job.kind in kinds and job.run_at <= now]
        due.sort(key=lambda job: (-job.priority, job.run_at, job.id))
        return [self._lease_out(job, now) for job in due[:limit]]

    async def heartbeat(self, jobs: Collection[Job]) -> Collection[int]:
        held = {job.id: job for job in jobs if self._held(job) is not None}
        for job in held.values():
            self._change(job, lease_until=self._store.clock.now() + self._lease)
        return set(held)

    @asynccontextmanager
    async def completing(self, job: Job) -> AsyncIterator[Connection]:
        async with self._store.transaction() as conn:
            yield conn
            self._require(job)
        self._end(job, JobState.DONE, None)

    async def retry(self, job: Job, error: str, delay: timedelta | None = None) -> JobState:
        self._require(job)
        state = JobState.DEAD if job.attempt >= job.max_attempts else JobState.READY
        wait = backoff(job.attempt) if delay is None else delay
        self._end(job, state, error, run_at=self._store.clock.now() + wait)
        return state

    async def bury(self, job: Job, error: str) -> None:
        self._require(job)
        self._end(job, JobState.DEAD, error)

    async def postpone(self, job: Job, until: datetime, why: str) -> None:
        self._require(job)
        soonest = self._store.clock.now() + SHORTEST_POSTPONEMENT
        self._end(job, JobState.READY, why, run_at=max(until, soonest), attempt=job.attempt - 1)

    async def release(self, job: Job) -> None:
        self._require(job)
        self._end(job, JobState.READY, None, attempt=job.attempt - 1)

    async def rescue(self) -> int:
        now = self._store.clock.now()
        return self._free(lambda row: row.lease_until is not None and row.lease_until < now)

    async def reclaim(self) -> int:
        return self._free(lambda row: row.leased_by == self._owner)

    async def depth(self) -> QueueDepth:
        now = self._store.clock.now()
        jobs = [row.job for row in self._store.rows.values()]
        ages_s = [
            (now - job.run_at).total_seconds() for job in jobs if job.state is JobState.READY and job.run_at <= now
        ]
        return QueueDepth(
            due=len(ages_s),
            waiting=sum(job.state is JobState.READY and job.run_at > now for job in jobs),
            leased=sum(job.state is JobState.LEASED for job in jobs),
            dead=sum(job.state is JobState.DEAD for job in jobs),
            oldest_due_s=max(ages_s, default=0.0),
        )

    def _lease_out(self, job: Job, now: datetime) -> Job:
        leased = _changed(job, state=JobState.LEASED, fence=job.fence + 1, attempt=job.attempt + 1)
        row = Row(job=leased, lease_until=now + self._lease, leased_by=self._owner)
        self._store.rows[job.key] = row
        return leased

    def _held(self, job: Job) -> Row | None:
        row = self._store.rows[job.key]
        return row if row.job.state is JobState.LEASED and row.job.fence == job.fence else None

    def _require(self, job: Job) -> None:
        if self._held(job) is None:
            raise LeaseLost(f"{job.kind} {job.key}: claim {job.fence} is over")

    def _change(self, job: Job, **changes: Any) -> None:
        self._store.rows[job.key] = replace(self._store.rows[job.key], **changes)

    def _end(self, job: Job, state: JobState, error: str | None, **changes: Any) -> None:
        ended = _changed(self._store.rows[job.key].job, state=state, **changes)
        self._store.rows[job.key] = Row(job=ended, last_error=error)

    def _free(self, lost: Callable[[Row], bool]) -> int:
        rows = [row for row in self._store.rows.values() if row.job.state is JobState.LEASED and lost(row)]
        for row in rows:
            used_up = row.job.attempt >= row.job.max_attempts
            self._end(row.job, JobState.DEAD if used_up else JobState.READY, f"its worker {row.leased_by} vanished")
        return len(rows)


def _changed(job: Job, **changes: Any) -> Job:
    return Job(**{name: changes.get(name, getattr(job, name)) for name in job.__struct_fields__})
