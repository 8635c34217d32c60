"""The look at the database: kept until the next one, and forgotten while the database is away."""

from __future__ import annotations

import asyncio
from typing import cast

from gaia.validator.app.services.database_monitor import DatabaseMonitor
from gaia.validator.db.figures import DatabaseStats, QueueDepth
from gaia.validator.db.pool import DatabaseUnavailable
from gaia.validator.db.stats import DatabaseStatsManager
from tests.support.clock import ManualClock

STATS = DatabaseStats(
    size_bytes=1, connections=1, active_connections=1, max_connections=50, longest_transaction_s=0.0, tables=(),
    queue=QueueDepth(due=0, waiting=0, leased=0, dead=0, oldest_due_s=0.0),
)  # fmt: skip


class Manager:
    """Answers in turn: a look, or the error of a database that is away."""

    def __init__(self) -> None:
        self.answers: list[DatabaseStats | Exception] = [STATS, DatabaseUnavailable("away"), STATS]

    async def collect(self) -> DatabaseStats:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_a_look_is_kept_and_an_outage_does_not_end_the_service() -> None:
    clock, manager = ManualClock(), Manager()
    monitor = DatabaseMonitor(cast("DatabaseStatsManager", manager), clock)
    assert monitor.last is None
    running = asyncio.create_task(monitor.run())
    seen: list[DatabaseStats | None] = []
    for _ in range(3):
        await asyncio.wait_for(clock.until_asleep(), 20)
        seen.append(monitor.last)
        await clock.advance(60.0)
    running.cancel()
    assert seen == [STATS, None, STATS]
