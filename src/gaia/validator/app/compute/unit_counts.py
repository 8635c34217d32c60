"""What became of a pool's units: how many of each end, how long they waited and took. Decides nothing.

Units are noted one by one and counted into the histograms in small batches: whoever waits for a result must not wait
for its book-keeping.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gaia.validator.app.telemetry.histogram import JOB_BOUNDS_S, Histogram, HistogramSnapshot

_BATCH: Final = 32


class UnitCounts:
    """Counts since a pool's start. The plain ones are its owner's to raise."""

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
        """A unit has gone to a worker, so long after its submission. Called when nobody waits for us."""
        self._waited.append(duration_s)
        if len(self._waited) >= _BATCH:
            self._count()

    def settled(self, handler: str, duration_s: float) -> None:
        """A unit has its result, or has failed."""
        self._settled.append((handler, duration_s))
        if len(self._settled) >= 2 * _BATCH:  # many settled, none given out: the line is being cleared
            self._count()

    def waits(self) -> HistogramSnapshot:
        """From submission to a worker."""
        self._count()
        return self._waits.snapshot()

    def durations(self) -> Mapping[str, HistogramSnapshot]:
        """With a worker, by handler."""
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
