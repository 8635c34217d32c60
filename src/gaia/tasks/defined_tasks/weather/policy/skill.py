"""From metrics to scores: the score of one component, the score of one lead, and the day-1 gate.

Owns the formulas of the policy. Weights and thresholds are data, in `policy`.
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
    """The result of the day-1 gate: either a score and a verdict, or the reason why there is none."""

    score: float | None = None
    passed: bool | None = None
    not_applicable: str | None = None


def component_score(metrics: ComponentMetrics, policy: ScoringPolicy) -> float | None:
    """The score of one component (one field at one lead): the weighted mean of the terms that exist.

    With the weights of the default policy:

        0.10 clamp(skill_clim, 0, 1) + 0.80 clamp(skill_beyond_reference, 0, 1)
            + 0.07 max(ACC, 0) + 0.03 / (1 + RMSE / RMSE_clim)

    Terms that are None drop out, and the other weights are scaled up to 1. With neither climatology nor reference the
    policy's fallback holds: 1 / (1 + RMSE / truth_eddy). Which terms exist depends on truth, climatology and reference
    alone, so no forecast can choose its terms.

    Args:
        metrics: The metrics of the field, from `metrics.metrics_of`.
        policy: The weights, the kind of reference baseline and the fallback.

    Returns:
        0 to 1. None if no term exists and the fallback is NONE or has no scale (`truth_eddy` is 0, as for one point).
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
    """Skill against the reference baseline of the policy: 1 - MSE / MSE_base.

    PLAIN: MSE_base = MSE_ref. FADED: MSE_base is the least error of the blends climatology + s (reference -
    climatology) over all s, for a reference whose anomalies are as strong as the truth's. With x = MSE_ref / MSE_clim:

        MSE_base = MSE_ref (1 - x / 4)    for x < 2,        MSE_base = MSE_clim    for x >= 2

    (Such a reference has the correlation rho = 1 - x / 2 with the truth. Its best factor s is rho, with the error
    (1 - rho^2) MSE_clim.) Without a climatology there is nothing to blend with, and PLAIN holds.

    Args:
        metrics: The metrics of the field.
        policy: Says whether PLAIN or FADED.

    Returns:
        At most 1. None if there is no reference, or if its error is 0.

    References:
        Relations of MSE skill, correlation and amplitude: Murphy 1988,
        doi:10.1175/1520-0493(1988)116<2417:SSBOTM>2.0.CO;2.
    """
    if policy.reference_baseline is ReferenceBaseline.PLAIN or not metrics.rmse_clim or not metrics.rmse_ref:
        return metrics.skill_ref
    x = (metrics.rmse_ref / metrics.rmse_clim) ** 2
    baseline = metrics.rmse_ref * math.sqrt(1.0 - x / 4.0) if x < 2.0 else metrics.rmse_clim
    return 1.0 - (metrics.rmse / baseline) ** 2


def field_weights(fields: Sequence[ScoredField], policy: ScoringPolicy) -> tuple[float, ...]:
    """The weight of each field in the score of a lead.

    The levels of a variable share its component weight by the pressure thickness that each level stands for.

    Args:
        fields: The fields of the run, each once.
        policy: Gives the component weight of each variable.

    Returns:
        One weight for each field, in order; they sum to 1.

    Raises:
        BadPolicy: The policy has no weight for a variable (operator's fault).
        NothingToScore: No field has a weight above 0 (validator's fault).
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
    """The score of one lead: the mean of its components, weighted by `field_weights`.

    Args:
        fields: The fields of the run.
        components: The score of each field from `component_score`, in the same order. None carries no weight.
        policy: Gives the weights.

    Returns:
        0 to 1.

    Raises:
        NothingToScore: Every component is None (validator's fault).
        BadPolicy: The policy has no weight for a variable (operator's fault).
    """
    score = _weighted_mean(zip(field_weights(fields, policy), components, strict=True))
    if score is None:
        raise NothingToScore("no component has a score: give a climatology or a reference, or more than one longitude")
    return score


def gate(gate_metrics: Sequence[ComponentMetrics], policy: ScoringPolicy) -> GateResult:
    """The day-1 gate. With the default policy a forecast passes if

        0.6 mean(max(0, skill_ref)) + 0.4 mean((ACC + 1) / 2) >= 0.3

    where the means are over the gate fields that have the metric.

    Args:
        gate_metrics: The metrics of the run's gate fields at the gate lead (+12 h).
        policy: The weights and the minimum.

    Returns:
        Score and verdict. `not_applicable` gives the reason if there is no gate field, or no gate field has a
        reference, or none has a climatology.
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
    """A level's share of the thickness of all levels. A level reaches half-way to its neighbours; the outermost levels
    reach as far outward as inward.

    Two levels have equal shares, and a single level has the share 1. For 50, 100 and 1000 hPa it is 50 : 475 : 900.
    """
    levels = sorted(level for level in levels_hpa if level is not None)
    if level_hpa is None or len(levels) < 2:
        return 1.0
    gaps = [below - above for above, below in pairwise(levels)]
    # Half of the gap on either side. The outermost levels have only one gap, which counts on both sides.
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
