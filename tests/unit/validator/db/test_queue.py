"""What the queue suite cannot see: the back-off's bounds, and the column's limits."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaia.contracts.job import JobState, NewJob
from gaia.validator.db.pool import DatabasePool
from gaia.validator.db.queue import PostgresQueue, backoff


@given(st.integers(min_value=1, max_value=10_000))
def test_backoff_doubles_up_to_an_hour_with_half_of_it_at_random(attempt: int) -> None:
    middle_s = min(3600, 2**attempt)
    assert middle_s * 0.5 <= backoff(attempt).total_seconds() <= middle_s * 1.5


def test_backoff_spreads() -> None:
    assert len({backoff(3) for _ in range(10)}) > 1


@pytest.mark.database
async def test_long_error_is_cut_for_the_table(database: DatabasePool) -> None:
    queue = PostgresQueue(database, owner="engine", lease=timedelta(seconds=30))
    await queue.put(NewJob(kind="score", key="k", max_attempts=1))
    (job,) = await queue.claim(["score"], 1)
    assert await queue.retry(job, "x" * 100_000) is JobState.DEAD
    async with database.acquire() as conn:
        assert await conn.fetchval("SELECT length(last_error) FROM job") == 4000
