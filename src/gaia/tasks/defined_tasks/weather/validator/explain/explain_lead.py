"""Recomputes the score of a lead, and the day-1 gate, from the stored metrics of each field. Pure.

Owns the conversion of stored metrics into the arguments of the scoring functions. The gate's metrics are stored in full
precision. Those of a lead are stored in single precision, so a recomputed value may differ by the effect of that
rounding, and by no more.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import msgspec

from gaia.protocol.run_spec import FieldId, RunSpec
from gaia.tasks.defined_tasks.checks import Check, checked, identical
from gaia.tasks.defined_tasks.weather.policy.policy import ScoringPolicy
from gaia.tasks.defined_tasks.weather.policy.skill import (
    component_score,
    field_weights,
    gate,
    lead_score,
    skill_beyond_reference,
)
from gaia.tasks.defined_tasks.weather.scoring.metrics import ComponentMetrics
from gaia.tasks.defined_tasks.weather.validator.explain.explanation import (
    FieldShare,
    Gate,
    GateField,
    LeadShare,
)
from gaia.tasks.defined_tasks.weather.validator.records.results import StoredGate, StoredLead
from gaia.tasks.defined_tasks.weather.variables import VARIABLES

_SINGLE = 2.0**-24
"""The greatest relative error of rounding to float32 (IEEE 754, binary32, round to nearest)."""


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    """The metrics of one field that are stored."""

    rmse: float
    mae: float
    bias: float
    acc: float | None
    skill_clim: float | None
    skill_ref: float | None

    def metrics(self) -> ComponentMetrics:
        """The arguments of the scoring functions. The baselines' errors follow from the skills; `truth_eddy` is not
        stored.
        """
        return ComponentMetrics(
            bias=self.bias,
            mae=self.mae,
            mse=self.rmse**2,
            rmse=self.rmse,
            coverage=1.0,
            truth_eddy=0.0,
            rmse_clim=_baseline(self.rmse, self.skill_clim),
            rmse_ref=_baseline(self.rmse, self.skill_ref),
            acc=self.acc,
            skill_clim=self.skill_clim,
            skill_ref=self.skill_ref,
            pattern_correlation=None,
        )


def explain_gate(stored: StoredGate, spec: RunSpec, policy: ScoringPolicy | None) -> tuple[Gate, list[Check]]:
    """The gate's calculation, and checks that score and verdict follow from its metrics.

    Without a policy it shows only what is stored.
    """
    kept = {f: _gate_metrics(stored, f) for f in (policy.gate_fields(spec.fields()) if policy else spec.fields())}
    found = {f: metrics for f, metrics in kept.items() if metrics is not None}
    redone = gate([metrics.metrics() for metrics in found.values()], policy) if policy else None
    skills = [max(0.0, m.skill_ref) for m in found.values() if m.skill_ref is not None]
    halves = [(m.acc + 1.0) / 2.0 for m in found.values() if m.acc is not None]
    result = stored.result
    shown = Gate(
        lead_h=spec.gate_lead_h,
        fields=tuple(GateField(field=str(f), acc=m.acc, skill_ref=m.skill_ref) for f, m in found.items()),
        skill_ref_share=policy.gate.skill_ref if policy else None,
        acc_share=policy.gate.acc if policy else None,
        minimum=policy.gate.minimum if policy else None,
        mean_skill=_mean(skills),
        mean_acc=_mean(halves),
        score=stored.score,
        passed=stored.passed,
        not_applicable=result.not_applicable,
        score_recomputed=redone.score if redone else None,
        truth=result.against.truth,
        climatology=result.against.climatology,
        reference=result.against.reference,
        policy_digest=stored.policy_digest,
        scored_at=stored.scored_at,
    )
    checks = (
        []
        if redone is None
        else [
            checked("the gate's score", stored.score, redone.score),
            checked("the gate's score, in its result", result.score, redone.score),
            identical("the gate's verdict", _verdict(stored.passed), _verdict(redone.passed)),
            identical("the gate's verdict, in its result", _verdict(result.passed), _verdict(redone.passed)),
        ]
    )
    return shown, checks


def explain_lead(stored: StoredLead, policy: ScoringPolicy | None) -> tuple[LeadShare, list[Check]]:
    """The fields of a lead, and what each contributes. Without a policy it shows only what is stored."""
    fields = [FieldId(name, level or None) for name, level in zip(stored.variable, stored.level_hpa, strict=True)]
    kept = [_metrics_at(stored, index) for index in range(len(fields))]
    digest = hashlib.sha256(msgspec.json.encode(fields)).hexdigest()
    checks = [identical(f"the field set's digest at +{stored.lead_h} h", stored.field_set_digest, digest)]
    score: float | None = None
    if policy is not None:
        score = lead_score(fields, stored.component, policy)
        # Each component is rounded by at most `_SINGLE` of itself, and none is negative: so is their mean.
        allowed = _SINGLE * 1.001 * abs(score)
        checks += [_component_check(stored, f, i, kept[i], policy) for i, f in enumerate(fields) if _is_known(kept[i])]
        checks.append(checked(f"the lead score at +{stored.lead_h} h", stored.lead_score, score, allowed))
    return LeadShare(
        lead_h=stored.lead_h,
        lead_weight=policy.lead_weight(stored.lead_h) if policy else None,
        lead_score=stored.lead_score,
        lead_score_recomputed=score,
        terms=policy.terms if policy else None,
        fields=_shares(stored, fields, kept, policy),
        field_set_digest=stored.field_set_digest,
        policy_digest=stored.policy_digest,
        truth=stored.truth,
        climatology=stored.climatology,
        reference=stored.reference,
        scored_at=stored.scored_at,
    ), checks


def _shares(
    stored: StoredLead, fields: Sequence[FieldId], kept: Sequence[_Stored], policy: ScoringPolicy | None
) -> tuple[FieldShare, ...]:
    weights = field_weights(fields, policy) if policy else (None,) * len(fields)
    counted = [w for w, c in zip(weights, stored.component, strict=True) if w is not None and c is not None]
    total = math.fsum(counted)
    return tuple(
        FieldShare(
            field=str(f),
            unit=VARIABLES[f.variable].unit,
            **msgspec.structs.asdict(metrics),
            skill_base=skill_beyond_reference(metrics.metrics(), policy) if policy else None,
            component=component,
            component_recomputed=component_score(metrics.metrics(), policy) if policy and _is_known(metrics) else None,
            field_weight=weight,
            contribution=None if weight is None or component is None else weight * component / total,
        )
        for f, metrics, component, weight in zip(fields, kept, stored.component, weights, strict=True)
    )


def _component_check(stored: StoredLead, f: FieldId, index: int, kept: _Stored, policy: ScoringPolicy) -> Check:
    redone = component_score(kept.metrics(), policy)
    what = f"the component of {f} at +{stored.lead_h} h"
    return checked(what, stored.component[index], redone, _slack(kept, policy))


def _slack(kept: _Stored, policy: ScoringPolicy) -> float:
    """How much a component may differ because its metrics were stored in single precision.

    Each metric is changed by the rounding error in turn, and the changes of the component are added. Twice that sum
    covers the combined effects.
    """
    middle = component_score(kept.metrics(), policy) or 0.0
    slack = 0.0
    for name, value in msgspec.structs.asdict(kept).items():
        if value is not None:
            nudged = [msgspec.structs.replace(kept, **{name: value * (1.0 + way * _SINGLE)}) for way in (-1, 1)]
            slack += max(abs((component_score(n.metrics(), policy) or 0.0) - middle) for n in nudged)
    return 2.0 * slack + _SINGLE * middle


def _is_known(kept: _Stored) -> bool:
    """Whether a component follows from the stored metrics. The fallback's does not, as `truth_eddy` is not stored."""
    return not (kept.skill_clim is None and kept.skill_ref is None and kept.acc is None)


def _metrics_at(stored: StoredLead, index: int) -> _Stored:
    return _Stored(
        rmse=stored.rmse[index],
        mae=stored.mae[index],
        bias=stored.bias[index],
        acc=stored.acc[index],
        skill_clim=stored.skill_clim[index],
        skill_ref=stored.skill_ref[index],
    )


def _gate_metrics(stored: StoredGate, f: FieldId) -> _Stored | None:
    found = stored.result.metrics
    if f"day1_rmse_{f}" not in found:
        return None
    return _Stored(
        rmse=found[f"day1_rmse_{f}"],
        mae=found[f"day1_mae_{f}"],
        bias=found[f"day1_bias_{f}"],
        acc=found.get(f"day1_acc_{f}"),
        skill_clim=found.get(f"day1_skill_clim_{f}"),
        skill_ref=found.get(f"day1_skill_ref_{f}"),
    )


def _baseline(rmse: float, skill: float | None) -> float | None:
    """RMSE_x, of skill = 1 - (RMSE / RMSE_x)^2. None without a skill."""
    if skill is None:
        return None
    # If the forecast is perfect to the last stored digit, the baseline's error is only known to be far larger.
    return rmse / math.sqrt(1.0 - skill) if skill < 1.0 and rmse > 0.0 else max(rmse, 1.0) * 1e6


def _verdict(passed: bool | None) -> str:
    return {True: "passed", False: "not passed", None: "not applicable"}[passed]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
