"""How alike the forecasts of the policy's trial are: what clone thresholds must stay below, and what they cannot see.

Owns the measures; `try_policy` prints them. A distance is given in thresholds: the multiple of the policy's thresholds
at +12 h at which just enough gate fields of two forecasts are near for them to be one, fields that have faded to the
climatology not counted; the lesser one, whoever of the two was first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from msgspec import Struct
from policy_miners import BENCHMARK, FIELDS, HONEST, Charts, Entry, Start, Trial, trial_grid

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.policy.clones import distance, has_faded
from gaia.tasks.defined_tasks.weather.policy.policy import ScoringPolicy

REFERENCE = "reference"
INDEPENDENT = (*HONEST, "damped persistence", "persistence", REFERENCE)
"""Forecasts that share the truth that they try to hit, and nothing else."""
RELATED = (
    (BENCHMARK, "T42, error 0.3"),
    (BENCHMARK, f"{BENCHMARK}, faded"),
    (REFERENCE, "reference, faded"),
    (REFERENCE, "reference, smoothed to T15"),
    (REFERENCE, "reference + a tenth of an error"),
    ("mean of reference and T42, error 0.3", "mean of T42, error 0.27 and 0.3"),
    (BENCHMARK, f"copy of {BENCHMARK}, noise 1.1 x"),
    (BENCHMARK, f"copy of {BENCHMARK}, noise 20 x"),
)
"""Of these the errors are compared: an independent pair, what honest people do with one model, copies in disguise."""

Pair = tuple[str, str]


class Likeness(Struct, frozen=True, kw_only=True):
    """Two forecasts of one start."""

    distances: tuple[float, ...]
    """In thresholds, by lead."""
    error_correlation: float
    """Of z500, uncentred, the mean over the scored leads."""


class ClosestPair(Struct, frozen=True, kw_only=True):
    """The independent forecasts that came closest to one another at a lead."""

    lead_h: int
    pair: Pair
    distance: float
    factor: float
    """By what the thresholds are multiplied there."""

    @property
    def margin(self) -> float:
        """How much closer they would have had to be to be taken for one."""
        return self.distance / self.factor


class ErrorLikeness(Struct, frozen=True, kw_only=True):
    """How alike two forecasts' errors are."""

    pair: Pair
    mean: float
    least: float
    most: float
    """Over the starts."""


def likenesses(
    start: Start, everybody: Mapping[str, Entry], policy: ScoringPolicy, trial: Trial
) -> dict[Pair, Likeness]:
    """All independent and all related pairs of one start."""
    pairs = {*combinations(INDEPENDENT, 2), *RELATED}
    return {
        pair: Likeness(
            distances=tuple(
                min(ways)
                for ways in zip(
                    _distances(everybody[pair[0]].charts, everybody[pair[1]].charts, start.climatology, policy, trial),
                    _distances(everybody[pair[1]].charts, everybody[pair[0]].charts, start.climatology, policy, trial),
                    strict=True,
                )
            ),
            error_correlation=_error_correlation(everybody[pair[0]].charts, everybody[pair[1]].charts, start.truth),
        )
        for pair in sorted(pairs)
    }


def closest_pairs(
    starts: Sequence[Mapping[Pair, Likeness]], policy: ScoringPolicy, trial: Trial
) -> tuple[ClosestPair, ...]:
    """Of each lead the independent pair that came closest in any start."""
    found = []
    for k, lead_h in enumerate(trial.lead_h):
        nearest = min((start[pair].distances[k], pair) for start in starts for pair in combinations(INDEPENDENT, 2))
        found.append(
            ClosestPair(lead_h=lead_h, distance=nearest[0], pair=nearest[1], factor=policy.clone_growth_at(lead_h))
        )
    return tuple(found)


def error_likenesses(starts: Sequence[Mapping[Pair, Likeness]]) -> tuple[ErrorLikeness, ...]:
    """Of each related pair, over the starts."""
    rows = []
    for pair in RELATED:
        found = [start[pair].error_correlation for start in starts]
        rows.append(ErrorLikeness(pair=pair, mean=sum(found) / len(found), least=min(found), most=max(found)))
    return tuple(rows)


def _distances(
    mine: Charts, other: Charts, climatology: Charts, policy: ScoringPolicy, trial: Trial
) -> tuple[float, ...]:
    """By lead, in thresholds; infinite if so many of mine have faded that too few are left."""
    area_weights = trial_grid().area_weights(policy.area_weighting)
    gate_fields = policy.gate_fields(FIELDS)
    enough = math.ceil(policy.clone_agreement * len(gate_fields)) - 1

    def in_thresholds(scored: FieldId, k: int, lead_h: int) -> float:
        i = FIELDS.index(scored)
        chart = np.ascontiguousarray(mine[k, i])
        if has_faded(distance(chart, climatology[i], area_weights), scored, policy, lead_h):
            return math.inf
        apart = distance(chart, np.ascontiguousarray(other[k, i]), area_weights)
        return apart / (policy.clone_threshold(scored) or math.inf)

    return tuple(
        sorted(in_thresholds(scored, k, lead_h) for scored in gate_fields)[enough]
        for k, lead_h in enumerate(trial.lead_h)
    )


def _error_correlation(mine: Charts, other: Charts, truth: Charts) -> float:
    area = trial_grid().area_weights()[:, None]
    z500 = FIELDS.index(FieldId("z", 500))
    errors = [(charts[1:, z500] - truth[1:, z500]).astype(np.float64) for charts in (mine, other)]
    product, first, second = (
        (a * b * area).sum(axis=(-2, -1)) for a, b in ((errors[0], errors[1]), (errors[0],) * 2, (errors[1],) * 2)
    )
    return float(np.mean(product / np.sqrt(first * second)))
