"""What a compute pool is told at its start, and what it tells about itself."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from gaia.contracts.progress import Progress
from gaia.validator.app.histogram import HistogramSnapshot


class PoolSettings(Struct, frozen=True, kw_only=True):
    """The bounds of a pool. Memory is each worker's anonymous resident memory; None: no bound."""

    workers: int | None = None
    """So many work at once; who dials in above that stands by, warm, and a worn-out worker leaves only when one does.
    None: all work; a worn-out one leaves, and the next when its replacement has come."""
    queue_capacity: int = 1000
    """So many units may wait; then `run` waits too."""
    recycle_units: int | None = None
    """A worker is replaced after about so many units (+- 20 %, so that they do not all go at once)."""
    soft_memory_bytes: int | None = None
    """Past it a worker is replaced after its unit, once another stands by; past 1.25 times it, at once."""
    hard_memory_bytes: int | None = None
    """Past it a worker is killed and its unit fails."""
    sample_s: float = 0.05
    """How often deadlines and memory of busy workers are looked at."""


class RunningUnit(Struct, frozen=True, kw_only=True):
    """A unit that a worker has now."""

    unit_id: str
    handler: str
    worker_slot: int
    attempt: int
    running_s: float
    progress: Progress | None
    """What it last reported, if anything."""


class PoolStatistics(Struct, frozen=True, kw_only=True):
    """Where the pool stands, and counts since its start."""

    workers: int
    """All who have dialled in, those who stand by included."""
    workers_busy: int
    standing_by: int
    waiting: int
    """Units in the line."""
    submitters: int
    """Units that wait for a place in the line: the pool is behind by more than it holds."""
    running: tuple[RunningUnit, ...]
    units_done: int
    units_failed: int
    workers_lost: int
    """Died with a unit in flight, not at our hand."""
    timed_out: int
    """Past their timeout or their deadline."""
    memory_exceeded: int
    retired: int
    stale_results: int
    """Answers that nobody waited for any more; dropped."""
    waits: HistogramSnapshot
    """From submission to a worker."""
    durations: Mapping[str, HistogramSnapshot]
    """By handler."""
