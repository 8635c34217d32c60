"""A clock that stands still until the test moves it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta


class ManualClock:
    """gaia.contracts.clock.Clock. Sleepers wake when `advance` passes their time, never by themselves."""

    def __init__(self, start: datetime = datetime(2017, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._elapsed_s = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self._arrived = asyncio.Condition()

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._elapsed_s

    async def sleep(self, delay_s: float) -> None:
        wakes: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        self._sleepers.append((self._elapsed_s + delay_s, wakes))
        async with self._arrived:
            self._arrived.notify_all()
        await wakes

    async def until_asleep(self, count: int = 1) -> None:
        """Return once `count` sleepers wait on this clock: so a test knows that a loop has gone idle."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: self._waiting() >= count)

    async def advance(self, by: timedelta | float) -> None:
        """Move both clocks on by `by` (seconds if a number), wake whose time has come, and let them run."""
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        self._now += step
        self._elapsed_s += step.total_seconds()
        due = [wakes for at, wakes in self._sleepers if at <= self._elapsed_s]
        self._sleepers = [(at, wakes) for at, wakes in self._sleepers if at > self._elapsed_s]
        for wakes in due:
            if not wakes.done():
                wakes.set_result(None)
        await asyncio.sleep(0)

    def set_wall(self, now: datetime) -> None:
        """Step the wall clock alone, as an administrator or NTP may; nobody wakes."""
        self._now = now

    def _waiting(self) -> int:
        return sum(not wakes.done() for _, wakes in self._sleepers)
