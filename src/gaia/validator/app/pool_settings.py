"""What a compute pool is told at its start, and what it tells about itself."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from gaia.validator.app.histogram import HistogramSnapshot


class PoolSettings(Struct, frozen=True, kw_only=True):
    """The bounds of a pool. Memory is each worker's anonymous resident memory; None: no bound."""

    queue_capacity: int = 1000
    """So many units may wait; then `run` waits too."""
    recycle_units: int | None = None
    """A worker is replaced after about so many units (+- 20 %, so that they do not all go at once)."""
    soft_memory_bytes: int | None = None
    """Past it a worker is replaced after its unit."""
    hard_memory_bytes: int | None = None
    """Past it a worker is killed and its unit fails."""
    sample_s: float = 0.05
    """How often deadlines and memory of busy workers are looked at."""


class PoolStatistics(Struct, frozen=True, kw_only=True):
    """Counts since the start, but for the first three."""

    workers: int
    workers_busy: int
    waiting: int
    units_done: int
    units_failed: int
    workers_lost: int
    """Died with a unit in flight, not at our hand."""
    timed_out: int
    memory_exceeded: int
    retired: int
    stale_results: int
    """Answers that nobody waited for any more; dropped."""
    durations: Mapping[str, HistogramSnapshot]
    """By handler."""
