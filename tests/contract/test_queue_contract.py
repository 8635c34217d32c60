"""The queue suite, on PostgreSQL and on the fake."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta

import pytest

from gaia.contracts.job import Connection, JobState
from gaia.validator.db.pool import DatabasePool
from gaia.validator.db.queue import PostgresQueue
from tests.contract.queue_suite import LEASE, QueueBench, QueueSuite
from tests.support.clock import ManualClock
from tests.support.memory_queue import MemoryConnection, MemoryQueue, MemoryStore


class PostgresBench:
    """Time passes by setting every instant in the table back."""

    def __init__(self, database: DatabasePool) -> None:
        self._database = database

    def queue(self, owner: str = "engine") -> PostgresQueue:
        return PostgresQueue(self._database, owner=owner, lease=LEASE)

    async def now(self) -> datetime:
        async with self._database.acquire() as conn:
            now: datetime = await conn.fetchval("SELECT now()")
        return now

    async def pass_time(self, step: timedelta) -> None:
        async with self._database.acquire() as conn:
            await conn.execute(
                "UPDATE job SET run_at = run_at - $1::interval, lease_until = lease_until - $1::interval", step
            )

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        return self._database.transaction()

    async def write_effect(self, conn: Connection, text: str) -> None:
        await conn.execute("INSERT INTO effect VALUES ($1)", text)

    async def effects(self) -> Sequence[str]:
        async with self._database.acquire() as conn:
            return [row["text"] for row in await conn.fetch("SELECT text FROM effect ORDER BY ctid")]

    async def state(self, key: str) -> tuple[JobState, int, str | None]:
        async with self._database.acquire() as conn:
            row = await conn.fetchrow("SELECT state, attempt, last_error FROM job WHERE key = $1", key)
        return JobState(row["state"]), row["attempt"], row["last_error"]


class MemoryBench:
    """Time passes on a manual clock."""

    def __init__(self) -> None:
        self._clock = ManualClock()
        self._store = MemoryStore(self._clock)

    def queue(self, owner: str = "engine") -> MemoryQueue:
        return MemoryQueue(self._store, owner=owner, lease=LEASE)

    async def now(self) -> datetime:
        return self._clock.now()

    async def pass_time(self, step: timedelta) -> None:
        await self._clock.advance(step)

    def transaction(self) -> AbstractAsyncContextManager[MemoryConnection]:
        return self._store.transaction()

    async def write_effect(self, conn: Connection, text: str) -> None:
        await conn.execute("INSERT INTO effect VALUES ($1)", text)

    async def effects(self) -> Sequence[str]:
        return [str(statement.args[0]) for statement in self._store.committed]

    async def state(self, key: str) -> tuple[JobState, int, str | None]:
        row = self._store.rows[key]
        return row.job.state, row.job.attempt, row.last_error


@pytest.mark.database
class TestPostgresQueue(QueueSuite):
    """The real one."""

    @pytest.fixture
    async def bench(self, database: DatabasePool) -> QueueBench:
        async with database.acquire() as conn:
            await conn.execute("CREATE TABLE effect (text text NOT NULL)")
        return PostgresBench(database)


class TestMemoryQueue(QueueSuite):
    """The fake."""

    @pytest.fixture
    def bench(self) -> QueueBench:
        return MemoryBench()
