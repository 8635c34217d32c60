"""Counts a pool's units: how many succeeded or failed, how long they waited and ran. Decides nothing.

Units are noted one by one and go into the histograms in small batches, so that no result waits for the bookkeeping.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gaia.validator.app.telemetry.histogram import JOB_BOUNDS_S, Histogram, HistogramSnapshot

_BATCH: Final = 32


class UnitCounts:
    """The counts since a pool's start. The pool itself increases the plain numbers."""

    def __init__(self) -> None:
        self.done = 0
        self.failed = 0
        self.lost = 0
        self.timed_out = 0
        self.over_memory = 0
        self.retired = 0
        self.stale = 0
        self._waits = Histogram(JOB_BOUNDS_S)
        self._durations: dict[str, Histogram] = {}
        self._waited: list[float] = []
        self._settled: list[tuple[str, float]] = []

    def waited(self, duration_s: float) -> None:
        """Note the time from a unit's submission until it was sent to a worker."""
        self._waited.append(duration_s)
        if len(self._waited) >= _BATCH:
            self._count()

    def settled(self, handler: str, duration_s: float) -> None:
        """Note how long a unit ran until its result or failure."""
        self._settled.append((handler, duration_s))
        if len(self._settled) >= 2 * _BATCH:  # happens if units fail without a worker, when the line is cleared
            self._count()

    def waits(self) -> HistogramSnapshot:
        """The waiting times from submission to a worker."""
        self._count()
        return self._waits.snapshot()

    def durations(self) -> Mapping[str, HistogramSnapshot]:
        """The times with a worker, by handler."""
        self._count()
        return {handler: histogram.snapshot() for handler, histogram in self._durations.items()}

    def _count(self) -> None:
        for waited_s in self._waited:
            self._waits.observe(waited_s)
        for handler, duration_s in self._settled:
            if (durations := self._durations.get(handler)) is None:
                durations = self._durations[handler] = Histogram(JOB_BOUNDS_S)
            durations.observe(duration_s)
        self._waited.clear()
        self._settled.clear()
