"""Where a compute pool stands at one moment, and what it has counted since its start. Plain data."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from gaia.contracts.progress import Progress
from gaia.validator.app.telemetry.histogram import HistogramSnapshot


class RunningUnit(Struct, frozen=True, kw_only=True):
    """A unit that a worker has now."""

    unit_id: str
    handler: str
    run_id: str | None
    """The run that it belongs to; None: several runs share what it makes."""
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
