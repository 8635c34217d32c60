"""Fixed-bucket histograms of durations: filled in one process, carried as data, rendered in another."""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import accumulate
from typing import Final

from msgspec import Struct

LAG_BOUNDS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
JOB_BOUNDS_S: Final = (
    0.001,
    0.005,
    0.025,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
)


class HistogramSnapshot(Struct, frozen=True, kw_only=True):
    """Counts of observations at or below each bound (not cumulative), and one last count of those above all."""

    bounds_s: tuple[float, ...]
    counts: tuple[int, ...]
    sum_s: float

    @property
    def total(self) -> int:
        """How many observations there were."""
        return sum(self.counts)

    def bound_of(self, quantile: float) -> float:
        """The least bound that so great a part of the observations does not exceed; infinite where none is.

        >>> HistogramSnapshot(bounds_s=(1.0, 2.0), counts=(98, 1, 1), sum_s=0.0).bound_of(0.99)
        2.0
        """
        wanted = quantile * self.total
        reached = accumulate(self.counts[: len(self.bounds_s)])
        return next((bound for bound, count in zip(self.bounds_s, reached, strict=True) if count >= wanted), math.inf)


class Histogram:
    """Counts durations into buckets (cost of one observation: well under a microsecond)."""

    def __init__(self, bounds_s: tuple[float, ...]) -> None:
        self._bounds_s = bounds_s
        self._counts = [0] * (len(bounds_s) + 1)
        self._sum_s = 0.0

    def observe(self, duration_s: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(self._bounds_s, duration_s)] += 1
        self._sum_s += duration_s

    def snapshot(self) -> HistogramSnapshot:
        """The counts so far."""
        return HistogramSnapshot(bounds_s=self._bounds_s, counts=tuple(self._counts), sum_s=self._sum_s)
