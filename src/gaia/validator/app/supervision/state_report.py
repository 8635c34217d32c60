"""The whole state of a validator at one moment, for a person who asks: what SIGUSR1 prints. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from msgspec import Struct

from gaia.validator.app.machine.memory import process_usage
from gaia.validator.app.processes.child_slot import ChildSlot
from gaia.validator.app.telemetry.engine_snapshot import EngineSnapshot
from gaia.validator.app.telemetry.pool_statistics import RunningUnit

_MIB = 1024 * 1024


class ChildState(Struct, frozen=True, kw_only=True):
    """One slot and who fills it."""

    role: str
    slot: int
    pid: int | None
    ready: bool
    age_s: float
    restarts: int
    last_end: str
    """How the one before ended; empty if there was none."""
    next_start_in_s: float | None
    given_up: bool
    resident_mib: float
    anonymous_mib: float
    cpu_s: float


class EngineState(Struct, frozen=True, kw_only=True):
    """What the IO-Engine last told, in short."""

    age_s: float
    """Since it told it."""
    loop_lag_p99_s: float
    queue_depths: Mapping[str, int]
    units_done: int
    units_failed: int
    workers_lost: int
    jobs_in_progress: int
    running: tuple[RunningUnit, ...]


def child_states(slots: Iterable[ChildSlot]) -> tuple[ChildState, ...]:
    """How each slot stands now."""
    return tuple(_child_state(slot, time.monotonic()) for slot in slots)


def engine_state(snapshot: EngineSnapshot | None) -> EngineState | None:
    """None while it has told nothing yet."""
    if snapshot is None:
        return None
    return EngineState(
        age_s=round(time.monotonic() - snapshot.monotonic_s, 3),
        loop_lag_p99_s=snapshot.loop_lag.bound_of(0.99),
        queue_depths=snapshot.queue_depths,
        units_done=snapshot.units_done,
        units_failed=snapshot.units_failed,
        workers_lost=snapshot.workers_lost,
        jobs_in_progress=snapshot.jobs_in_progress,
        running=snapshot.running,
    )


def _child_state(slot: ChildSlot, now: float) -> ChildState:
    child = slot.child
    usage = process_usage(child.pid) if child is not None else None
    return ChildState(
        role=slot.role,
        slot=slot.number,
        pid=child.pid if child is not None else None,
        ready=child is not None and child.said_ready,
        age_s=round(now - child.started_at, 3) if child is not None else 0.0,
        restarts=slot.restarts,
        last_end=slot.last_end,
        next_start_in_s=None if slot.due_at is None else round(max(0.0, slot.due_at - now), 3),
        given_up=slot.given_up,
        resident_mib=round(usage.resident_bytes / _MIB, 1) if usage is not None else 0.0,
        anonymous_mib=round(usage.anonymous_bytes / _MIB, 1) if usage is not None else 0.0,
        cpu_s=usage.cpu_s if usage is not None else 0.0,
    )
