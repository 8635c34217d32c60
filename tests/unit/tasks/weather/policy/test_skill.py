"""Component, lead and gate scores by hand."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.policy.policy import DEFAULT_POLICY, BadPolicy, Fallback, ReferenceBaseline
from gaia.tasks.defined_tasks.weather.policy.skill import (
    component_score,
    field_weights,
    gate,
    lead_score,
    skill_beyond_reference,
)
from gaia.tasks.defined_tasks.weather.scoring.metrics import ComponentMetrics, NothingToScore

_GOOD = ComponentMetrics(
    bias=1.0,
    mae=1.0,
    mse=1.0,
    rmse=1.0,
    coverage=1.0,
    truth_eddy=3.0,
    rmse_clim=2.0,
    rmse_ref=3.0,
    acc=0.5,
    skill_clim=0.75,
    skill_ref=8 / 9,
    pattern_correlation=1.0,
)
_NO_CLIMATOLOGY = replace(_GOOD, acc=None, skill_clim=None, rmse_clim=None)
_NO_REFERENCE = replace(_GOOD, skill_ref=None, rmse_ref=None)
_NEITHER = replace(_NO_CLIMATOLOGY, skill_ref=None, rmse_ref=None)


def test_component_score_by_hand() -> None:
    # x = MSE_ref / MSE_clim = 9/4 is above 2: the baseline is the climatology, skill 0.75.
    # 0.1 * 0.75 + 0.8 * 0.75 + 0.07 * 0.5 + 0.03 / (1 + 1/2)
    assert component_score(_GOOD, DEFAULT_POLICY) == pytest.approx(0.73)


@pytest.mark.parametrize(
    ("rmse_ref", "rmse_clim", "baseline"),
    [
        (1.0, 10.0, 0.9975),  # x = 0.01: 1 - 0.01 / 4
        (2.0, 2.0, 3.0),  # x = 1, correlation 1/2: (1 - 1/4) * 4
        (2.0, 2.0**0.5, 2.0),  # x = 2, correlation 0: the climatology, 2
        (5.0, 3.0, 9.0),  # worse than that: the climatology
        (5.0, None, 25.0),  # nobody can fade to a climatology that is not there
        (5.0, 0.0, 25.0),
    ],
)
def test_the_reference_is_met_as_anybody_could_fade_it(
    rmse_ref: float, rmse_clim: float | None, baseline: float
) -> None:
    metrics = replace(_GOOD, rmse_ref=rmse_ref, rmse_clim=rmse_clim, skill_ref=1 - 1 / rmse_ref**2)
    assert skill_beyond_reference(metrics, DEFAULT_POLICY) == pytest.approx(1 - 1 / baseline)
    plain = replace(DEFAULT_POLICY, reference_baseline=ReferenceBaseline.PLAIN)
    assert skill_beyond_reference(metrics, plain) == metrics.skill_ref


def test_without_a_reference_or_with_a_perfect_one_there_is_no_skill_beyond_it() -> None:
    assert skill_beyond_reference(_NO_REFERENCE, DEFAULT_POLICY) is None
    assert skill_beyond_reference(replace(_GOOD, rmse_ref=0.0, skill_ref=None), DEFAULT_POLICY) is None


def test_terms_that_cannot_be_had_carry_no_weight() -> None:
    assert component_score(_NO_CLIMATOLOGY, DEFAULT_POLICY) == pytest.approx(8 / 9)
    # (0.1 * 0.75 + 0.07 * 0.5 + 0.03 * 2/3) / 0.2
    assert component_score(_NO_REFERENCE, DEFAULT_POLICY) == pytest.approx(0.13 / 0.2)


def test_without_any_baseline_the_truths_own_eddies_are_the_measure() -> None:
    assert component_score(_NEITHER, DEFAULT_POLICY) == 0.75  # 1 / (1 + 1/3)
    assert component_score(replace(_NEITHER, truth_eddy=0.0), DEFAULT_POLICY) is None
    assert component_score(_NEITHER, replace(DEFAULT_POLICY, fallback=Fallback.NONE)) is None


def test_skill_below_zero_and_negative_correlation_cost_no_more_than_all() -> None:
    worst = replace(_GOOD, skill_clim=-9.0, skill_ref=-9.0, acc=-1.0, rmse=18.0)
    assert component_score(worst, DEFAULT_POLICY) == pytest.approx(0.03 / 10)


@given(
    rmse=st.floats(0, 1e6),
    baselines=st.tuples(st.floats(1e-3, 1e6), st.floats(1e-3, 1e6)),
    acc=st.floats(-1, 1),
    better=st.floats(0, 1),
    more=st.floats(0, 2),
)
def test_a_lower_error_with_no_lower_correlation_never_scores_lower(
    rmse: float, baselines: tuple[float, float], acc: float, better: float, more: float
) -> None:
    clim, ref = baselines

    def score(rmse: float, acc: float) -> float:
        metrics = replace(
            _GOOD,
            rmse=rmse,
            mse=rmse**2,
            acc=acc,
            rmse_clim=clim,
            rmse_ref=ref,
            skill_clim=1 - (rmse / clim) ** 2,
            skill_ref=1 - (rmse / ref) ** 2,
        )
        value = component_score(metrics, DEFAULT_POLICY)
        assert value is not None
        return value

    assert 0.0 <= score(rmse, acc) <= 1.0
    assert score(rmse * better, min(acc + more, 1.0)) >= score(rmse, acc) - 1e-15


def test_levels_share_a_variables_weight_by_thickness() -> None:
    # 50, 100 and 1000 hPa: half the gaps on either side are 50, 475 and 900 of 1425 hPa.
    fields = [FieldId("z", 100), FieldId("z", 1000), FieldId("z", 50)]
    assert field_weights(fields, DEFAULT_POLICY) == pytest.approx([475 / 1425, 900 / 1425, 50 / 1425])


def test_variables_count_by_their_component_weight() -> None:
    # 2t 0.20, z 0.20 over two equal levels, t 0.15 on one: of 0.55.
    fields = [FieldId("2t"), FieldId("z", 500), FieldId("z", 850), FieldId("t", 500)]
    assert field_weights(fields, DEFAULT_POLICY) == pytest.approx([0.20 / 0.55, 0.10 / 0.55, 0.10 / 0.55, 0.15 / 0.55])


def test_lead_score_by_hand() -> None:
    fields = [FieldId("z", 500), FieldId("t", 500)]
    assert lead_score(fields, [0.9, 0.2], DEFAULT_POLICY) == pytest.approx((0.2 * 0.9 + 0.15 * 0.2) / 0.35)
    assert lead_score(fields, [None, 0.2], DEFAULT_POLICY) == pytest.approx(0.2)


def test_a_lead_without_one_component_is_not_zero_but_an_error() -> None:
    with pytest.raises(NothingToScore, match="give a climatology or a reference"):
        lead_score([FieldId("z", 500)], [None], DEFAULT_POLICY)


def test_a_variable_without_a_weight_is_refused() -> None:
    with pytest.raises(BadPolicy, match="no component weight for 'o3'"):
        field_weights([FieldId("o3", 50)], DEFAULT_POLICY)
    with pytest.raises(NothingToScore, match="component weight above zero"):
        field_weights([FieldId("z", 50)], replace(DEFAULT_POLICY, component_weights={"z": 0.0}))


@given(st.lists(st.sampled_from([FieldId(v, p) for v in "ztuv" for p in (50, 500, 850)]), unique=True))
def test_field_weights_sum_to_one_in_any_order(fields: list[FieldId]) -> None:
    assume(fields)
    weights = dict(zip(fields, field_weights(fields, DEFAULT_POLICY), strict=True))
    assert sum(weights.values()) == pytest.approx(1.0)
    turned = dict(zip(fields[::-1], field_weights(fields[::-1], DEFAULT_POLICY), strict=True))
    assert turned == {field: pytest.approx(weight) for field, weight in weights.items()}


def test_gate_by_hand() -> None:
    # 0.6 * (8/9 + 0)/2 + 0.4 * (0.75 + 0.5)/2
    result = gate([_GOOD, replace(_GOOD, skill_ref=-3.0, acc=0.0)], DEFAULT_POLICY)
    assert result.score == pytest.approx(0.6 * 4 / 9 + 0.4 * 0.625)
    assert (result.passed, result.not_applicable) == (True, None)


def test_a_forecast_with_neither_skill_nor_correlation_fails_the_gate() -> None:
    result = gate([replace(_GOOD, skill_ref=-1.0, acc=-0.6)], DEFAULT_POLICY)
    assert result.score == pytest.approx(0.4 * 0.2)
    assert result.passed is False


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        ([], "the run holds no gate variable"),
        ([_NO_REFERENCE], "no reference for the gate variables"),
        ([_NO_CLIMATOLOGY], "no climatology for the gate variables"),
        ([_NEITHER], "no reference and no climatology for the gate variables"),
    ],
)
def test_the_gate_does_not_apply_without_its_baselines(metrics: list[ComponentMetrics], reason: str) -> None:
    result = gate(metrics, DEFAULT_POLICY)
    assert (result.score, result.passed, result.not_applicable) == (None, None, reason)
