"""The state of a compute pool at one moment, and its counts since its start. Plain data."""

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
    """The run that it belongs to. None: several runs share its result."""
    worker_slot: int
    attempt: int
    running_s: float
    progress: Progress | None
    """Its last report; None if there was none."""


class PoolStatistics(Struct, frozen=True, kw_only=True):
    """The state of the pool, and its counts since its start."""

    workers: int
    """All connected workers, including spares."""
    workers_busy: int
    standing_by: int
    """The spares."""
    waiting: int
    """Units in the queue."""
    submitters: int
    """Units that wait for a place in the queue, because it is full."""
    running: tuple[RunningUnit, ...]
    units_done: int
    units_failed: int
    workers_lost: int
    """Workers that died during a unit and were not killed by us."""
    timed_out: int
    """Units that exceeded their timeout or their deadline."""
    memory_exceeded: int
    retired: int
    stale_results: int
    """Results for which nobody waited any more. They are dropped."""
    waits: HistogramSnapshot
    """The times from submission to a worker."""
    durations: Mapping[str, HistogramSnapshot]
    """Handler -> the times with a worker."""
