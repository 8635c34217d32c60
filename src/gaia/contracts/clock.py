"""The clocks. They are passed in, so that tests can use a fake one. There are three:

* The wall clock decides about signatures and deadlines.
* The monotonic clock measures timeouts.
* The world clock of a run decides which weather data exist already. In a hindcast it shows a time in the past.

Leases and `run_at` of jobs follow a fourth clock, that of the database.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """The clock that is given to every part that needs the time."""

    def now(self) -> datetime:
        """The time of the wall clock, timezone-aware UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back. Only differences have a meaning."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Wait on this clock."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)


class WorldClock:
    """The wall clock minus a fixed offset: the time in the world of a run."""

    def __init__(self, clock: Clock, offset: timedelta = timedelta(0)) -> None:
        self._clock = clock
        self.offset = offset

    def now(self) -> datetime:
        """The time in the run's world."""
        return self._clock.now() - self.offset

    def wall_time(self, world_time: datetime) -> datetime:
        """The wall time at which the run's world reaches `world_time`."""
        return world_time + self.offset
