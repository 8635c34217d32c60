"""A lead from its stored metrics: rounding to single precision is never taken for a changed value, and a change is."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.policy.policy import DEFAULT_POLICY
from gaia.tasks.defined_tasks.weather.policy.skill import component_score, lead_score
from gaia.tasks.defined_tasks.weather.scoring.metrics import ComponentMetrics
from gaia.tasks.defined_tasks.weather.validator.explain.explain_lead import explain_lead
from gaia.tasks.defined_tasks.weather.validator.records.results import StoredLead

FIELDS = (FieldId("2t"), FieldId("z", 500), FieldId("q", 700))


def single(value: float) -> float:
    """As PostgreSQL's `real` keeps it."""
    (rounded,) = struct.unpack("<f", struct.pack("<f", value))
    return float(rounded)


def metrics_of(mse: float, mse_clim: float | None, mse_ref: float | None, acc: float | None) -> ComponentMetrics:
    return ComponentMetrics(
        bias=0.0,
        mae=math.sqrt(mse),
        mse=mse,
        rmse=math.sqrt(mse),
        coverage=1.0,
        truth_eddy=1.0,
        rmse_clim=None if mse_clim is None else math.sqrt(mse_clim),
        rmse_ref=None if mse_ref is None else math.sqrt(mse_ref),
        acc=acc,
        skill_clim=None if mse_clim is None else 1.0 - mse / mse_clim,
        skill_ref=None if mse_ref is None else 1.0 - mse / mse_ref,
        pattern_correlation=None,
    )


def stored(metrics: Sequence[ComponentMetrics]) -> StoredLead:
    """What the database has after the validator scored these fields."""
    components = [component_score(m, DEFAULT_POLICY) for m in metrics]

    def kept(values: Sequence[float | None]) -> tuple[float | None, ...]:
        return tuple(None if value is None else single(value) for value in values)

    return StoredLead(
        lead_h=24,
        variable=tuple(f.variable for f in FIELDS),
        level_hpa=tuple(f.level_hpa or 0 for f in FIELDS),
        field_set_digest=hashlib.sha256(msgspec.json.encode(FIELDS)).hexdigest(),
        bias=(0.0,) * len(FIELDS),
        mae=tuple(single(m.mae) for m in metrics),
        rmse=tuple(single(m.rmse) for m in metrics),
        acc=kept([m.acc for m in metrics]),
        skill_clim=kept([m.skill_clim for m in metrics]),
        skill_ref=kept([m.skill_ref for m in metrics]),
        component=kept(components),
        lead_score=lead_score(FIELDS, components, DEFAULT_POLICY),
        policy_digest=DEFAULT_POLICY.digest(),
        truth="blake3:t",
        climatology="blake3:c",
        reference="blake3:r",
        scored_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


sizes = st.floats(-10.0, 10.0).map(lambda exponent: 10.0**exponent)
ratios = st.floats(-12.0, 4.0).map(lambda exponent: 10.0**exponent)


@st.composite
def any_metrics(draw: st.DrawFn) -> ComponentMetrics:
    """From perfect to hopeless, near the edges of every clamp, in any unit; either baseline may be missing."""
    mse_clim = draw(sizes)
    mse_ref = mse_clim * draw(ratios | st.sampled_from([1.0, 2.0]))
    mse = draw(st.sampled_from([0.0, mse_clim, mse_ref]) | ratios.map(lambda ratio: mse_ref * ratio))
    has_climatology, has_reference = draw(st.sampled_from([(True, True), (True, False), (False, True)]))
    return metrics_of(
        mse,
        mse_clim if has_climatology else None,
        mse_ref if has_reference else None,
        draw(st.floats(-1.0, 1.0)) if has_climatology else None,
    )


@given(st.lists(any_metrics(), min_size=3, max_size=3))
def test_what_was_only_rounded_agrees(metrics: list[ComponentMetrics]) -> None:
    _, checks = explain_lead(stored(metrics), DEFAULT_POLICY)
    assert [check for check in checks if not check.agrees] == []
    assert len(checks) == 5  # three components, the lead score, the field set


@given(any_metrics(), st.sampled_from([-1.0, 1.0]))
def test_a_component_that_was_moved_by_a_thousandth_differs(metrics: ComponentMetrics, way: float) -> None:
    kept = stored([metrics] * 3)
    first = kept.component[0]
    assert first is not None
    moved = replace(kept, component=(first + way * 1e-3, *kept.component[1:]))
    _, checks = explain_lead(moved, DEFAULT_POLICY)
    assert {"the component of 2t at +24 h", "the lead score at +24 h"} <= {c.what for c in checks if not c.agrees}


def test_without_baselines_a_component_cannot_be_made_again_and_is_not_held_against_anybody() -> None:
    kept = stored([metrics_of(1.0, None, None, None)] * 3)
    lead, checks = explain_lead(kept, DEFAULT_POLICY)
    assert [(f.component, f.component_recomputed) for f in lead.fields] == [(0.5, None)] * 3
    assert lead.lead_score_recomputed == pytest.approx(0.5)
    assert all(check.agrees for check in checks)
