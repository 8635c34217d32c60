"""Measures, all the time, how late the event loop runs what is due: the lag that numerics in the loop would
cause.
"""

from __future__ import annotations

import asyncio
from typing import Final

from gaia.contracts.clock import Clock
from gaia.validator.app.telemetry.histogram import LAG_BOUNDS_S, Histogram, HistogramSnapshot

_EVERY_S: Final = 0.05


class LoopLagMonitor:
    """A timer that observes how late it fires. Costs some microseconds twenty times a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._histogram = Histogram(LAG_BOUNDS_S)
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin, in the running loop."""
        self._loop = asyncio.get_running_loop()
        self._arm()

    def stop(self) -> None:
        """Measure no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def snapshot(self) -> HistogramSnapshot:
        """The lags so far."""
        return self._histogram.snapshot()

    def _arm(self) -> None:
        # Not loop.time(): uvloop's is the start of this turn in whole milliseconds, blind to what the turn
        # costs.
        self._due_at = self._clock.monotonic() + _EVERY_S
        self._handle = self._loop.call_later(_EVERY_S, self._fired)

    def _fired(self) -> None:
        self._histogram.observe(max(0.0, self._clock.monotonic() - self._due_at))
        self._arm()
