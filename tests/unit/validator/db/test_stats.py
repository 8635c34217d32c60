"""The database's statistics, against a database whose content is known."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gaia.contracts.job import NewJob
from gaia.validator.db.pool import DatabasePool
from gaia.validator.db.queue import PostgresQueue
from gaia.validator.db.stats import DatabaseStatsManager

pytestmark = pytest.mark.database


async def test_statistics_tell_what_is_there(database: DatabasePool) -> None:
    queue = PostgresQueue(database, owner="engine", lease=timedelta(seconds=30))
    async with database.acquire() as conn:
        await queue.put(*(NewJob(kind="score", key=f"k{number}") for number in range(50)), conn=conn)
        await conn.execute("DELETE FROM job WHERE id <= 10")
        await conn.execute("SELECT pg_stat_force_next_flush()")  # else the server counts up to a second later
        await conn.execute("ANALYZE job")
    async with database.transaction() as conn:
        await conn.execute("SELECT 1")  # a transaction that is open meanwhile
        stats = await DatabaseStatsManager(database, queue).collect()
    tables = {table.name: table for table in stats.tables}
    assert {"job", "run", "score", "weight_set"} <= set(tables)
    assert (tables["job"].live_rows, tables["job"].dead_rows) == (40, 10)
    assert tables["job"].total_bytes == max(table.total_bytes for table in stats.tables) > 0
    assert stats.size_bytes > tables["job"].total_bytes
    assert 2 <= stats.connections <= stats.max_connections == 50
    assert stats.active_connections >= 1  # the one that asks
    assert stats.longest_transaction_s > 0
    assert stats.queue.due == 40


async def test_no_open_transaction_counts_as_zero(database: DatabasePool) -> None:
    queue = PostgresQueue(database, owner="engine", lease=timedelta(seconds=30))
    assert (await DatabaseStatsManager(database, queue).collect()).longest_transaction_s == 0.0
