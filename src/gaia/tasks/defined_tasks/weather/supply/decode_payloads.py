"""What the compute units `weather.source.inventory` and `weather.source.decode` are asked and answer.

Also what can be planned from an inventory. No numpy: the IO-Engine builds and reads these.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import Struct

from gaia.protocol.run_spec import FieldId, RunSpec, VariableSpec
from gaia.tasks.defined_tasks.weather.files.archive import SourceRole, time_name
from gaia.tasks.defined_tasks.weather.files.errors import BadSource
from gaia.tasks.defined_tasks.weather.files.inventory import Aware, Inventory
from gaia.tasks.defined_tasks.weather.supply.catalogue import SourceRef
from gaia.tasks.defined_tasks.weather.variables import VARIABLES

_KNOWN = ", ".join(VARIABLES)


class InventoryPayload(Struct, frozen=True, kw_only=True):
    """Asks what a source holds."""

    source: SourceRef


class DecodePayload(Struct, frozen=True, kw_only=True):
    """Asks for the fields of one instant on the run's grid, as a flat store."""

    source: SourceRef
    role: SourceRole
    valid_time: Aware
    init_time: Aware | None = None
    """With `lead_h`, names a reference forecast."""
    lead_h: int | None = None
    spec: RunSpec
    destination: str
    """Where the store is published, if the source does not hold one already."""


class DecodeResult(Struct, frozen=True, kw_only=True):
    """A published flat store. `missing` is always empty for truth."""

    path: str
    fields: tuple[FieldId, ...]
    missing: tuple[FieldId, ...] = ()


def cache_path(
    cache_dir: str | Path,
    source: SourceRef,
    role: SourceRole,
    *,
    valid_time: datetime,
    init_time: datetime | None = None,
    lead_h: int | None = None,
    spec_digest: str,
) -> Path:
    """Where a decoded store belongs: one place for equal arguments, another for any other."""
    identity = hashlib.sha256(f"{source}\n{spec_digest}".encode()).hexdigest()[:16]
    when = time_name(valid_time)
    if role is SourceRole.REFERENCE:
        if init_time is None or lead_h is None:
            raise BadSource("a reference forecast is named by its init_time and lead_h")
        when = f"{time_name(init_time)}-{lead_h:03d}h"
    return Path(cache_dir) / role.value / when / identity


def plan_from_truth(inventory: Inventory, source: str) -> tuple[datetime, RunSpec]:
    """A run over everything a truth holds: from its first time to each later one, no gate.

    `source` is for messages. Raises BadSource with fewer than two times, without known fields, or with times
    that are not whole hours apart.
    """
    if len(inventory.times) < 2:
        raise BadSource(
            f"{source} holds {len(inventory.times)} time(s); a run needs one to start from and one to score"
        )
    if not inventory.fields:
        raise BadSource(f"{source} has no known field at all of its times; known: {_KNOWN}")
    init_time = inventory.times[0].astimezone(UTC)
    spans = [time - init_time for time in inventory.times[1:]]
    if any(span % timedelta(hours=1) for span in spans) or init_time.minute or init_time.second:
        raise BadSource(f"{source}: its times are not whole hours: {[t.isoformat() for t in inventory.times]}")
    leads_h = tuple(span // timedelta(hours=1) for span in spans)
    return init_time, RunSpec(
        variables=_variables_of(inventory.fields),
        lead_h=leads_h,
        scored_lead_h=leads_h,
        gate_lead_h=None,
        grid=inventory.grid,
    )


def _variables_of(fields: tuple[FieldId, ...]) -> tuple[VariableSpec, ...]:
    levels: dict[str, list[int]] = {name: [] for name in VARIABLES if any(f.variable == name for f in fields)}
    for field in fields:
        if field.level_hpa is not None:
            levels[field.variable].append(field.level_hpa)
    return tuple(VariableSpec(name=name, levels_hpa=tuple(sorted(found))) for name, found in levels.items())
