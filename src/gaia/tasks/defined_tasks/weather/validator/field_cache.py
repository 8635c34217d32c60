"""Decoded truth, reference and climatology: each field set is decoded once, by a worker, and found by path ever after.

Owns the folder `<data_dir>/cache/fields`. Never reads a field itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import msgspec

from gaia.contracts.clock import WorldClock
from gaia.contracts.errors import Fault
from gaia.contracts.job import Later
from gaia.contracts.unit import ResultUnit, UnitFailed, WorkUnit, value_of
from gaia.tasks.defined_tasks.weather.files.archive import SourceRole
from gaia.tasks.defined_tasks.weather.supply.catalogue import SourceRef, available_at
from gaia.tasks.defined_tasks.weather.supply.decode_payloads import DecodePayload, DecodeResult, cache_path
from gaia.tasks.defined_tasks.weather.validator.records.runs import Run

_RETRY_SOURCE = timedelta(minutes=10)
"""How long to wait for a source that is due and has not delivered."""

_MISSING = "missing_field"
"""Of truth and reference: not delivered yet, however due."""


class FieldCache:
    """One a validator. Concurrent requests for the same field set wait for one decoding."""

    def __init__(self, directory: Path, compute: Callable[[WorkUnit], Awaitable[ResultUnit]]) -> None:
        self._directory = directory
        self._compute = compute
        self._locks: dict[str, asyncio.Lock] = {}

    async def path(self, run: Run, role: SourceRole, lead_h: int, world: WorldClock) -> str | None:
        """The flat store for a role at a lead; None if the run has no source for it, or no climatology of that time.

        Raises Later while the world has not come so far, or the source is late; UnitFailed when it is unusable.
        """
        source = _source(run, role)
        if source is None:
            return None
        due = available_at(role, run.init_time if role is SourceRole.REFERENCE else run.valid_time(lead_h))
        if world.now() < due:
            raise Later(world.wall_time(due), f"{role} for +{lead_h} h is published later")
        payload = _payload(run, role, lead_h, source, self._directory)
        lock = self._locks.setdefault(payload.destination, asyncio.Lock())
        try:
            async with lock:
                return await self._decode(payload, world)
        finally:
            if not lock.locked():
                self._locks.pop(payload.destination, None)

    async def _decode(self, payload: DecodePayload, world: WorldClock) -> str | None:
        unit = WorkUnit(handler="weather.source.decode", payload=msgspec.to_builtins(payload), priority=1)
        try:
            value = value_of(await self._compute(unit))
        except UnitFailed as error:
            if payload.role is SourceRole.CLIMATOLOGY and error.code == _MISSING:
                return None  # its terms are null for this run; no waiting brings a month that is not in the file
            if error.fault is not Fault.SOURCE or not (error.retryable or error.code == _MISSING):
                raise
            raise Later(world.wall_time(world.now()) + _RETRY_SOURCE, f"{error.code}: {error}") from error
        return msgspec.convert(value, DecodeResult).path


def _source(run: Run, role: SourceRole) -> SourceRef | None:
    match role:
        case SourceRole.TRUTH | SourceRole.ANALYSIS:
            return run.sources.truth
        case SourceRole.REFERENCE:
            return run.sources.reference
        case SourceRole.CLIMATOLOGY:
            return run.sources.climatology


def _payload(run: Run, role: SourceRole, lead_h: int, source: SourceRef, directory: Path) -> DecodePayload:
    valid_time = run.valid_time(lead_h)
    init_time, lead = (run.init_time, lead_h) if role is SourceRole.REFERENCE else (None, None)
    destination = cache_path(
        directory,
        source,
        role,
        valid_time=valid_time,
        init_time=init_time,
        lead_h=lead,
        spec_digest=run.spec_digest,
    )
    return DecodePayload(
        source=source,
        role=role,
        valid_time=valid_time,
        init_time=init_time,
        lead_h=lead,
        spec=run.spec,
        destination=str(destination),
    )
