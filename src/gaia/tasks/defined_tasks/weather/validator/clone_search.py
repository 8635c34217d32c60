"""Finds forecasts of a run that are one and the same, without comparing every pair in full.

Owns the search: of each gate field a small sketch, whose distance never exceeds the true one, and a full
comparison only of pairs that their sketches do not tell apart. Never decides who of a pair was first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from gaia.contracts.ids import Hotkey
from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.scoring.clones import are_clones, distance, least_distance, sketch
from gaia.tasks.defined_tasks.weather.scoring.policy import ScoringPolicy
from gaia.tasks.defined_tasks.weather.sources.field_store import FieldStore
from gaia.tasks.defined_tasks.weather.validator.score_payloads import ClonePair

_REFERENCE = Hotkey("the reference")


@dataclass(frozen=True, kw_only=True)
class Participant:
    """A forecast that is compared: `sketches` float64 (nlat, blocks), by gate field."""

    hotkey: Hotkey
    store: FieldStore
    sketches: Mapping[FieldId, NDArray[np.float64]]


def sketched(hotkey: Hotkey, store: FieldStore, fields: Sequence[FieldId]) -> Participant:
    """Read each of `fields` once, and keep its sketch."""
    return Participant(hotkey=hotkey, store=store, sketches={field: sketch(store.read(field)) for field in fields})


def close_pairs(
    participants: Sequence[Participant],
    fields: Sequence[FieldId],
    area_weights: NDArray[np.float64],
    policy: ScoringPolicy,
) -> tuple[ClonePair, ...]:
    """All pairs nearer than the thresholds in every one of `fields`."""
    ordered = sorted(participants, key=lambda p: p.hotkey)
    return tuple(_close(combinations(ordered, 2), fields, area_weights, policy))


def near_reference(
    participants: Sequence[Participant],
    reference: FieldStore,
    fields: Sequence[FieldId],
    area_weights: NDArray[np.float64],
    policy: ScoringPolicy,
) -> tuple[Hotkey, ...]:
    """All hotkeys whose forecast is nearer to `reference` than the thresholds in every field it holds."""
    shared = [field for field in fields if field in reference.fields()]
    other = sketched(_REFERENCE, reference, shared)
    pairs = _close(((p, other) for p in participants), shared, area_weights, policy)
    return tuple(pair.first for pair in pairs)


def _close(
    pairs: Iterator[tuple[Participant, Participant]],
    fields: Sequence[FieldId],
    area_weights: NDArray[np.float64],
    policy: ScoringPolicy,
) -> Iterator[ClonePair]:
    for first, second in pairs:
        least = {
            field: least_distance(
                first.sketches[field], second.sketches[field], area_weights, first.store.longitude.size
            )
            for field in fields
        }
        if not are_clones(least, policy):
            continue
        mse = {field: distance(first.store.read(field), second.store.read(field), area_weights) for field in fields}
        if are_clones(mse, policy):
            yield ClonePair(first=first.hotkey, second=second.hotkey, mse={str(f): d for f, d in mse.items()})
