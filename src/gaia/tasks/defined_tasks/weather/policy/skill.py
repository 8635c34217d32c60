"""From metrics to scores: one component, one lead, the day-1 gate.

Owns the formulas of the policy. Never holds a weight or a threshold itself: those are data, in `policy`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import assert_never

from msgspec import Struct

from gaia.tasks.defined_tasks.weather.policy.policy import (
    BadPolicy,
    Fallback,
    ReferenceBaseline,
    ScoredField,
    ScoringPolicy,
)
from gaia.tasks.defined_tasks.weather.scoring.metrics import ComponentMetrics, NothingToScore


class GateResult(Struct, frozen=True, kw_only=True):
    """What the day-1 gate says. Either a score and a verdict, or the reason why there is none."""

    score: float | None = None
    passed: bool | None = None
    not_applicable: str | None = None


def component_score(metrics: ComponentMetrics, policy: ScoringPolicy) -> float | None:
    """One field's score, 0 to 1: the weighted mean of the terms that can be had.

    0.1 clamp(skill_clim, 0, 1) + 0.8 clamp(skill_beyond_reference, 0, 1) + 0.07 max(ACC, 0)
    + 0.03 / (1 + RMSE / RMSE_clim), with the policy's weights. With neither climatology nor reference the policy's
    fallback: 1 / (1 + RMSE / eddy), eddy the truth's own root-mean-square departure from its zonal mean. None if even
    that is zero (a field without any weather, one point).

    Which terms exist depends on truth, climatology and reference alone: no forecast can choose its terms.
    """
    terms = policy.terms
    score = _weighted_mean(
        (
            (terms.skill_clim, _clamp(metrics.skill_clim)),
            (terms.skill_ref, _clamp(skill_beyond_reference(metrics, policy))),
            (terms.acc, _clamp(metrics.acc)),
            (terms.closeness, _closeness(metrics.rmse, metrics.rmse_clim)),
        )
    )
    if score is not None:
        return score
    match policy.fallback:
        case Fallback.TRUTH_EDDY:
            return _closeness(metrics.rmse, metrics.truth_eddy)
        case Fallback.NONE:
            return None
        case _:
            assert_never(policy.fallback)


def skill_beyond_reference(metrics: ComponentMetrics, policy: ScoringPolicy) -> float | None:
    """1 - MSE / MSE_base: what a forecast adds to the reference, or to what anybody can make of it.

    PLAIN: MSE_base = MSE_ref. FADED: the least error of climatology + s x (reference - climatology) over all s, for a
    reference whose anomalies are as strong as the truth's: with x = MSE_ref / MSE_clim,

        MSE_base = MSE_ref (1 - x / 4) up to x = 2, MSE_clim beyond.

    (Such a reference has correlation rho = 1 - x / 2, and its best s is rho, with error (1 - rho^2) MSE_clim.) Without
    a climatology nobody can fade, and PLAIN holds. None without a reference, or with a perfect one.
    """
    if policy.reference_baseline is ReferenceBaseline.PLAIN or not metrics.rmse_clim or not metrics.rmse_ref:
        return metrics.skill_ref
    x = (metrics.rmse_ref / metrics.rmse_clim) ** 2
    baseline = metrics.rmse_ref * math.sqrt(1.0 - x / 4.0) if x < 2.0 else metrics.rmse_clim
    return 1.0 - (metrics.rmse / baseline) ** 2


def field_weights(fields: Sequence[ScoredField], policy: ScoringPolicy) -> tuple[float, ...]:
    """What each field counts in a lead's score; sums to 1.

    A variable's component weight is shared among its levels by the pressure thickness that each level stands
    for.
    """
    levels: dict[str, list[int | None]] = {}
    for scored in fields:
        levels.setdefault(scored.variable, []).append(scored.level_hpa)
    unknown = next((variable for variable in levels if variable not in policy.component_weights), None)
    if unknown is not None:
        raise BadPolicy(f"policy version {policy.version} has no component weight for {unknown!r}")
    weights = [policy.component_weights[f.variable] * _level_share(f.level_hpa, levels[f.variable]) for f in fields]
    total = sum(weights)
    if total <= 0.0:
        raise NothingToScore("no field with a component weight above zero")
    return tuple(weight / total for weight in weights)


def lead_score(fields: Sequence[ScoredField], components: Sequence[float | None], policy: ScoringPolicy) -> float:
    """The score of one lead, 0 to 1: its components weighted by field; null ones carry no weight."""
    score = _weighted_mean(zip(field_weights(fields, policy), components, strict=True))
    if score is None:
        raise NothingToScore("no component has a score: give a climatology or a reference, or more than one longitude")
    return score


def gate(gate_metrics: Sequence[ComponentMetrics], policy: ScoringPolicy) -> GateResult:
    """The day-1 gate over the gate fields of a run: 0.6 mean(max(0, skill_ref)) + 0.4 mean((ACC + 1) / 2) >=
    0.3.

    Not applicable where no gate field has a reference, or none a climatology.
    """
    skills = [max(0.0, m.skill_ref) for m in gate_metrics if m.skill_ref is not None]
    correlations = [(m.acc + 1.0) / 2.0 for m in gate_metrics if m.acc is not None]
    if not gate_metrics:
        return GateResult(not_applicable="the run holds no gate variable")
    if not skills or not correlations:
        missing = " and no ".join(
            name for name, found in (("reference", skills), ("climatology", correlations)) if not found
        )
        return GateResult(not_applicable=f"no {missing} for the gate variables")
    score = policy.gate.skill_ref * _mean(skills) + policy.gate.acc * _mean(correlations)
    return GateResult(score=score, passed=score >= policy.gate.minimum)


def _level_share(level_hpa: int | None, levels_hpa: Sequence[int | None]) -> float:
    """A level's thickness among the variable's: half-way to its neighbours, the outermost reaching as far
    outward.

    Two levels count alike, and so does a single one (share 1); for 50, 100 and 1000 hPa it is 50 : 475 : 900.
    """
    levels = sorted(level for level in levels_hpa if level is not None)
    if level_hpa is None or len(levels) < 2:
        return 1.0
    gaps = [below - above for above, below in pairwise(levels)]
    # Half of the gap on either side; the outermost levels have only one gap, and take it on both.
    thickness = [(above + below) / 2 for above, below in zip([gaps[0], *gaps], [*gaps, gaps[-1]], strict=True)]
    return thickness[levels.index(level_hpa)] / sum(thickness)


def _closeness(rmse: float, scale: float | None) -> float | None:
    return None if not scale else 1.0 / (1.0 + rmse / scale)


def _clamp(value: float | None) -> float | None:
    return None if value is None else min(max(value, 0.0), 1.0)


def _weighted_mean(pairs: Iterable[tuple[float, float | None]]) -> float | None:
    known = [(weight, value) for weight, value in pairs if value is not None]
    total = sum(weight for weight, _ in known)
    return sum(weight * value for weight, value in known) / total if total > 0.0 else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
