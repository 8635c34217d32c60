"""Time, injected. Three clocks with three jobs:

* the wall clock decides signatures and deadlines,
* the monotonic clock measures timeouts,
* the world clock of a run decides which weather data exist yet. In a hindcast it may lie in the past.

Leases and `run_at` of jobs follow a fourth, the database's own.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What every part that needs the time is given."""

    def now(self) -> datetime:
        """The wall clock, timezone-aware UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean anything."""
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
    """The wall clock set back by a fixed offset: the time in the world that a run forecasts."""

    def __init__(self, clock: Clock, offset: timedelta = timedelta(0)) -> None:
        self._clock = clock
        self.offset = offset

    def now(self) -> datetime:
        """What time it is in the run's world."""
        return self._clock.now() - self.offset

    def wall_time(self, world_time: datetime) -> datetime:
        """When, on the wall clock, the world reaches `world_time`."""
        return world_time + self.offset
