"""Clocks: the machine's are aware of their timezone; a world's lies a fixed time behind."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gaia.contracts.clock import SystemClock, WorldClock
from tests.support.clock import ManualClock


def test_the_system_s_time_is_utc_and_its_seconds_are_those_of_timeouts() -> None:
    clock = SystemClock()
    before = datetime.now(UTC)
    assert before <= clock.now() <= datetime.now(UTC)
    assert clock.now().utcoffset() == timedelta(0)
    first = time.monotonic()
    assert first <= clock.monotonic() <= time.monotonic()


async def test_sleeping_on_the_system_s_clock_takes_at_least_its_time() -> None:
    clock = SystemClock()
    start = clock.monotonic()
    await clock.sleep(0.01)
    assert clock.monotonic() - start >= 0.009  # the event loop's own resolution


async def test_a_world_goes_on_with_the_clock_that_it_lies_behind() -> None:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    world = WorldClock(clock, timedelta(days=9 * 365 + 2))
    assert world.now() == datetime(2017, 1, 1, tzinfo=UTC)
    await clock.advance(timedelta(hours=6))
    assert world.now() == datetime(2017, 1, 1, 6, tzinfo=UTC)


@given(offset=st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=20_000)))
def test_the_wall_time_of_the_world_s_present_is_now(offset: timedelta) -> None:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    world = WorldClock(clock, offset)
    assert world.wall_time(world.now()) == clock.now()
