"""The compute handler `weather.clones`: which forecasts of a run are, at one lead, an earlier one or the reference.

Owns the search: small sketches, whose distance never exceeds the true one, and a full comparison only of what they do
not tell apart. Never decides who was first: the forecasts come in that order. Its work is bounded whatever the miners
hand in: a copy is compared no further, and no forecast in full with more than eight others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from gaia.contracts.errors import Fault, GaiaError
from gaia.contracts.ids import Hotkey
from gaia.contracts.progress import report_progress
from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.files.grid_axes import coordinates
from gaia.tasks.defined_tasks.weather.files.store.field_store import FieldStore
from gaia.tasks.defined_tasks.weather.files.store.open_store import open_store
from gaia.tasks.defined_tasks.weather.forecast.forecast_store import ForecastReader
from gaia.tasks.defined_tasks.weather.policy.clones import Blocks, are_clones, distance, has_faded
from gaia.tasks.defined_tasks.weather.policy.policy import ScoringPolicy
from gaia.tasks.defined_tasks.weather.scoring.grid import Grid
from gaia.tasks.defined_tasks.weather.scoring.moments import Field
from gaia.tasks.defined_tasks.weather.validator.handlers.score_payloads import (
    CloneFound,
    ClonesPayload,
    ClonesResult,
    ForecastRef,
)

_IN_FULL = 8
"""With so many others, the likest first, a forecast is compared in full. At 0.25 degrees that takes 75 ms if fields do
not compress and differ in the last ones only; 256 forecasts that are all alike in outline would be 33,000 comparisons,
40 minutes, for whoever wants to keep us busy, and the unit is killed after ten.
"""


def handle_clones_unit(payload: Mapping[str, Any]) -> dict[str, Any]:
    """ClonesPayload -> ClonesResult. Forecasts that their miners broke are left out; raises what our own files do."""
    request = msgspec.convert(payload, ClonesPayload)
    search = _Search.of(request)
    if search.fields:
        for number, forecast in enumerate(request.forecasts):
            report_progress(number / len(request.forecasts), f"forecast {number + 1} of {len(request.forecasts)}")
            search.add(forecast, request)
    result = ClonesResult(
        lead_h=request.lead_h,
        clones=tuple(search.clones),
        unreadable=search.unreadable,
        uncompared=search.uncompared,
        not_applicable=None if search.fields else "the run holds no gate variable",
        policy_digest=request.policy.digest(),
    )
    plain: dict[str, Any] = msgspec.to_builtins(result)
    return plain


@dataclass(frozen=True, kw_only=True)
class _Original:
    """A forecast, or the reference (`hotkey` None), that the later ones are compared with."""

    hotkey: Hotkey | None
    open: Callable[[], FieldStore]
    """Anew each time: an open forecast holds its manifest and a buffer, up to 5 MB, and there may be 256 of them."""
    sketches: NDArray[np.float64]
    """(field, block)."""


@dataclass(kw_only=True)
class _Search:
    """What is known after some forecasts, in the order of commitment."""

    fields: tuple[FieldId, ...]
    lead_h: int
    policy: ScoringPolicy
    area_weights: NDArray[np.float64]
    blocks: Blocks
    climatology: FieldStore | None
    originals: list[_Original] = field(default_factory=list)
    clones: list[CloneFound] = field(default_factory=list)
    unreadable: dict[Hotkey, str] = field(default_factory=dict)
    uncompared: int = 0

    @classmethod
    def of(cls, request: ClonesPayload) -> _Search:
        """Before the first forecast: only the reference is there, with the fields that it shares."""
        spec = request.spec
        fields = request.policy.gate_fields(spec.fields())
        grid = Grid.of(*coordinates(spec.grid))
        area_weights = grid.area_weights(request.policy.area_weighting)
        climatology = None
        if fields and request.climatology_path is not None:
            climatology = open_store(request.climatology_path)
            grid.require_same(Grid.of(climatology.latitude, climatology.longitude), f"{climatology.name}")
        search = cls(
            climatology=climatology,
            fields=fields,
            lead_h=request.lead_h,
            policy=request.policy,
            area_weights=area_weights,
            blocks=Blocks.of(area_weights, spec.grid.longitude_count),
        )
        if fields and request.reference_path is not None:
            reference = open_store(request.reference_path)
            grid.require_same(Grid.of(reference.latitude, reference.longitude), f"the reference {reference.name}")
            search.originals.append(search._sketched(None, lambda: reference))
        return search

    def add(self, forecast: ForecastRef, request: ClonesPayload) -> None:
        """Compare one more forecast with the originals; if it is none of them it becomes one."""
        try:
            mine = self._sketched(forecast.hotkey, partial(_open, forecast, request))
        except GaiaError as error:
            if error.fault is not Fault.MINER:
                raise
            self.unreadable[forecast.hotkey] = error.code
            return
        found = self._clone(forecast.hotkey, mine)
        if found is None:
            self.originals.append(mine)
        else:
            self.clones.append(found)

    def _sketched(self, hotkey: Hotkey | None, open_it: Callable[[], FieldStore]) -> _Original:
        """Read each field once, and keep its sketch; of a field that the store lacks nothing is known."""
        store = open_it()
        unknown = np.full(self.blocks.areas.size, np.nan)
        held = set(store.fields())
        sketches = [self.blocks.sketch(store.read(f)) if f in held else unknown for f in self.fields]
        return _Original(hotkey=hotkey, open=open_it, sketches=np.stack(sketches))

    def _clone(self, hotkey: Hotkey, mine: _Original) -> CloneFound | None:
        """The reference, or else the likest original, if this forecast is one of them; with the evidence."""
        alike = self._alike(mine)
        self.uncompared += len(alike[_IN_FULL:])
        store = mine.open()
        read: dict[FieldId, Field] = {}
        for other in alike[:_IN_FULL]:
            mse = self._differences(store, other.open(), read)
            if mse is not None:
                thresholds = {str(f): self.policy.clone_threshold(f, self.lead_h) or 0.0 for f in mse}
                return CloneFound(
                    hotkey=hotkey,
                    original=other.hotkey,
                    mse={str(f): found for f, found in mse.items()},
                    threshold=thresholds,
                )
        return None

    def _alike(self, mine: _Original) -> list[_Original]:
        """The originals that the sketches do not tell apart from this forecast, the likest first.

        Before them all the reference, so that no crowd of decoys can crowd it out of those that are compared in full.
        """
        alike: list[tuple[bool, float, _Original]] = []
        for other in self.originals:
            least = self.blocks.least_distances(other.sketches, mine.sketches)
            by_field = dict(zip(self.fields, least.tolist(), strict=True))
            if are_clones(by_field, self.policy, self.lead_h):
                in_thresholds = (d / (self.policy.clone_threshold(f) or 1.0) for f, d in by_field.items())
                alike.append((other.hotkey is not None, sum(in_thresholds), other))
        return [other for *_, other in sorted(alike, key=lambda entry: entry[:2])]

    def _differences(
        self, mine: FieldStore, other: FieldStore, read: dict[FieldId, Field]
    ) -> dict[FieldId, float] | None:
        """The full distances of all fields that both hold and that tell whose they are; None as soon as the forecasts
        cannot be one any more.
        """
        shared = [f for f in self.fields if f in set(other.fields())]
        mse = dict.fromkeys(shared, 0.0)
        for f in shared:
            if f not in read:
                read[f] = mine.read(f)
            mse[f] = math.inf if self._has_faded(f, read[f]) else distance(read[f], other.read(f), self.area_weights)
            if not are_clones(mse, self.policy, self.lead_h):
                return None
        return {f: found for f, found in mse.items() if math.isfinite(found)} or None

    def _has_faded(self, f: FieldId, mine: Field) -> bool:
        """Whether this forecast's field is the climatology's; no, where there is none."""
        if self.climatology is None or f not in set(self.climatology.fields()):
            return False
        from_climatology = distance(mine, self.climatology.read(f), self.area_weights)
        return has_faded(from_climatology, f, self.policy, self.lead_h)


def _open(forecast: ForecastRef, request: ClonesPayload) -> FieldStore:
    reader = ForecastReader.open(Path(forecast.path), spec=request.spec, manifest_digest=forecast.manifest_digest)
    return reader.at_lead(request.lead_h)
