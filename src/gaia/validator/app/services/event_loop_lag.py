"""Measures how late the event loop runs its timers. Computations in the loop would cause such a lag."""

from __future__ import annotations

import asyncio
from typing import Final

from gaia.contracts.clock import Clock
from gaia.validator.app.telemetry.histogram import LAG_BOUNDS_S, Histogram, HistogramSnapshot

_EVERY_S: Final = 0.05


class LoopLagMonitor:
    """A timer that measures how late it fires. It costs some microseconds, twenty times a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._histogram = Histogram(LAG_BOUNDS_S)
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start to measure in the running loop."""
        self._loop = asyncio.get_running_loop()
        self._arm()

    def stop(self) -> None:
        """Stop measuring."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def snapshot(self) -> HistogramSnapshot:
        """The lags so far."""
        return self._histogram.snapshot()

    def _arm(self) -> None:
        # Not loop.time(), because uvloop's is the start of the present turn in whole milliseconds.
        self._due_at = self._clock.monotonic() + _EVERY_S
        self._handle = self._loop.call_later(_EVERY_S, self._fired)

    def _fired(self) -> None:
        self._histogram.observe(max(0.0, self._clock.monotonic() - self._due_at))
        self._arm()
