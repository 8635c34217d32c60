"""The lag monitor sees a blocked loop, and nothing else."""

from __future__ import annotations

import asyncio
import time

from gaia.contracts.clock import SystemClock
from gaia.validator.app.services.event_loop_lag import LoopLagMonitor
from tests.support.waiting import until_async


async def test_a_loop_that_is_blocked_shows_as_lag() -> None:
    monitor = LoopLagMonitor(SystemClock())
    monitor.start()
    await asyncio.sleep(0)
    time.sleep(0.3)  # the fault itself: something computes in the loop
    await until_async(lambda: monitor.snapshot().total, "a lag has been measured")
    monitor.stop()
    assert monitor.snapshot().sum_s >= 0.2  # 0.3 s less the 0.05 s that it was to wait anyway


async def test_after_a_stop_nothing_more_is_measured() -> None:
    monitor = LoopLagMonitor(SystemClock())
    monitor.start()
    monitor.stop()
    await asyncio.sleep(0.1)
    assert monitor.snapshot().total == 0
