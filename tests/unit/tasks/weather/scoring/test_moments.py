"""The kernel against exact rational sums, and what it does with values that are not numbers."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from gaia.contracts.errors import Fault
from gaia.tasks.defined_tasks.weather.scoring.grid import Grid, GridMismatch, point_weights
from gaia.tasks.defined_tasks.weather.scoring.metrics import metrics_of
from gaia.tasks.defined_tasks.weather.scoring.moments import (
    BadField,
    Field,
    Moments,
    NoFiniteTruth,
    NonFiniteForecast,
    OutsideLimits,
    Yardstick,
    field_moments,
)

_SHAPE = (5, 8)
_WEIGHTS = Grid.of(np.linspace(80, -80, 5), np.arange(8) * 45.0).area_weights()
_EVEN = np.full(2, 0.5)

_MAGNITUDES = [
    pytest.param(101_325.0, 1500.0, id="msl in Pa"),
    pytest.param(3e-6, 2e-6, id="q near 1e-6"),
    pytest.param(288.0, 0.01, id="2t, nearly equal fields"),
    pytest.param(0.0, 1e20, id="absurd values"),
    pytest.param(200_000.0, 3000.0, id="z50"),
]


def _fields(mean: float, spread: float, seed: int = 1) -> list[Field]:
    values = np.random.default_rng(seed).normal(mean, spread, (4, *_SHAPE))
    return list(values.astype(np.float32))


def _moments(fields: list[Field], weights: NDArray[np.float64] = _WEIGHTS) -> Moments:
    forecast, truth, climatology, reference = fields
    return field_moments(
        forecast=forecast, truth=truth, climatology=climatology, reference=reference, area_weights=weights
    )


class Exact:
    """The same sums in rational arithmetic, straight from the definitions."""

    def __init__(self, fields: list[Field], weights: NDArray[np.float64]) -> None:
        self.f, self.t, self.c, self.r = ([[Fraction(float(x)) for x in row] for row in a] for a in fields)
        columns = len(self.t[0])
        self.w = [Fraction(float(w)) / columns for w in weights]

    def mean(self, term: Any) -> Fraction:
        """The weighted sum of term(row, column)."""
        return sum((w * term(j, i) for j, w in enumerate(self.w) for i in range(len(self.t[0]))), start=Fraction(0))

    def variation(self, value: Any) -> Fraction:
        """The weighted sum of squares about the weighted mean."""
        mean = self.mean(value) / self.mean(lambda j, i: 1)
        return self.mean(lambda j, i: (value(j, i) - mean) ** 2)

    def eddy(self) -> Fraction:
        """The weighted sum of squares about each row's own mean."""
        rows = [sum(row, start=Fraction(0)) / len(row) for row in self.t]
        return self.mean(lambda j, i: (self.t[j][i] - rows[j]) ** 2)


@pytest.mark.parametrize(("mean", "spread"), _MAGNITUDES)
def test_sums_agree_with_exact_rational_arithmetic(mean: float, spread: float) -> None:
    fields = _fields(mean, spread)
    sums, x = _moments(fields), Exact(fields, _WEIGHTS)
    f, t, c, r = x.f, x.t, x.c, x.r
    size = float(x.mean(lambda j, i: abs(f[j][i] - t[j][i])))
    assert sums.error == pytest.approx(float(x.mean(lambda j, i: f[j][i] - t[j][i])), abs=1e-13 * size)
    expected = {
        "finite_area": x.mean(lambda j, i: 1),
        "absolute_error": x.mean(lambda j, i: abs(f[j][i] - t[j][i])),
        "squared_error": x.mean(lambda j, i: (f[j][i] - t[j][i]) ** 2),
        "forecast_anomaly_squared": x.mean(lambda j, i: (f[j][i] - c[j][i]) ** 2),
        "truth_anomaly_squared": x.mean(lambda j, i: (t[j][i] - c[j][i]) ** 2),
        "reference_squared_error": x.mean(lambda j, i: (r[j][i] - t[j][i]) ** 2),
        "anomaly_product": x.mean(lambda j, i: (f[j][i] - c[j][i]) * (t[j][i] - c[j][i])),
        "truth_variation": x.variation(lambda j, i: t[j][i]),
        "error_variation": x.variation(lambda j, i: f[j][i] - t[j][i]),
        "truth_eddy_variation": x.eddy(),
    }
    assert {name: getattr(sums, name) for name in expected} == {
        name: pytest.approx(float(value), rel=1e-13, abs=0.0) for name, value in expected.items()
    }


def test_the_kernel_compiles_where_no_cache_can_be_written() -> None:
    program = (
        "import numpy as np; from gaia.tasks.defined_tasks.weather.scoring.moments import field_moments;"
        "one = np.ones((1, 1), np.float32);"
        "print(field_moments(forecast=one, truth=one, area_weights=np.ones(1)).finite_area)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "NUMBA_CACHE_DIR": "/proc/nowhere"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert finished.stdout == "1.0\n", finished.stderr


def test_forecast_variance_follows_from_the_kept_sums() -> None:
    fields = _fields(250.0, 10.0)
    sums, x = _moments(fields), Exact(fields, _WEIGHTS)
    variance = sums.truth_variation + 2 * sums.covariation + sums.error_variation
    assert variance == pytest.approx(float(x.variation(lambda j, i: x.f[j][i])), rel=1e-13, abs=0.0)


def test_a_point_without_truth_is_left_out_and_coverage_says_so() -> None:
    truth = np.array([[1.0, np.nan], [3.0, np.inf]], dtype=np.float32)
    forecast = np.array([[2.0, np.nan], [5.0, 7.0]], dtype=np.float32)
    sums = field_moments(forecast=forecast, truth=truth, area_weights=_EVEN)
    # Two of four points, a quarter each, with errors 1 and 2.
    assert (sums.area, sums.finite_area, sums.error, sums.squared_error) == (1.0, 0.5, 0.75, 1.25)


@pytest.mark.parametrize("absent", ["climatology", "reference"])
def test_all_terms_are_of_the_same_points(absent: str) -> None:
    full = np.ones((2, 2), dtype=np.float32)
    gappy = np.array([[0.0, np.nan], [0.0, 0.0]], dtype=np.float32)
    given_fields = {"climatology": full, "reference": full} | {absent: gappy}
    sums = field_moments(forecast=full, truth=full, area_weights=_EVEN, **given_fields)
    assert sums.finite_area == 0.75


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_forecast_without_a_value_where_the_truth_has_one_is_the_miners_fault(bad: float) -> None:
    truth = np.ones((64, 129), dtype=np.float32)
    forecast = truth.copy()
    forecast[63, 128] = bad
    with pytest.raises(NonFiniteForecast) as raised:
        field_moments(forecast=forecast, truth=truth, area_weights=np.full(64, 1 / 64))
    assert raised.value.fault is Fault.MINER


def test_no_finite_truth_is_the_sources_fault() -> None:
    nothing, something = (np.full((2, 2), x, dtype=np.float32) for x in (np.nan, 1.0))
    with pytest.raises(NoFiniteTruth, match="not one finite value") as raised:
        field_moments(forecast=something, truth=nothing, area_weights=_EVEN)
    assert raised.value.fault is Fault.SOURCE
    with pytest.raises(NoFiniteTruth, match="no finite point in common"):
        field_moments(forecast=something, truth=something, reference=nothing, area_weights=_EVEN)


def test_arrays_that_are_not_float32_fields_are_refused() -> None:
    truth = np.ones((2, 2), dtype=np.float32)
    with pytest.raises(BadField, match=r"forecast must be float32 \(latitude, longitude\), got float64"):
        field_moments(forecast=np.ones((2, 2)), truth=truth, area_weights=_EVEN)  # type: ignore[arg-type]
    with pytest.raises(BadField, match="truth must be float32"):
        field_moments(forecast=truth, truth=np.ones(2, dtype=np.float32), area_weights=_EVEN)
    with pytest.raises(GridMismatch, match=r"reference has shape \(2, 3\), truth \(2, 2\)"):
        field_moments(forecast=truth, truth=truth, reference=np.ones((2, 3), dtype=np.float32), area_weights=_EVEN)
    with pytest.raises(GridMismatch, match="3 area weights for 2 x 2 points"):
        field_moments(forecast=truth, truth=truth, area_weights=np.ones(3))


def test_layout_and_write_protection_change_nothing() -> None:
    fields = _fields(250.0, 10.0)
    other = [np.asfortranarray(field) for field in fields]
    for field in other:
        field.flags.writeable = False
    assert _moments(other) == _moments(fields)


def test_digits_do_not_depend_on_who_computes_and_in_which_order() -> None:
    cases = [_fields(250.0, 10.0, seed) for seed in range(24)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(_moments, reversed(cases))) == [_moments(case) for case in reversed(cases)]


def test_fields_merge_by_addition_and_zero_changes_nothing() -> None:
    first, second = _moments(_fields(250.0, 10.0, 1)), _moments(_fields(250.0, 10.0, 2))
    both = first + second
    assert both.area == pytest.approx(2.0, rel=1e-15)
    assert both.squared_error == first.squared_error + second.squared_error
    assert Moments() + first == first + Moments() == first


def test_merging_with_a_field_that_has_no_climatology_leaves_none() -> None:
    fields = _fields(250.0, 10.0)
    without = field_moments(forecast=fields[0], truth=fields[1], area_weights=_WEIGHTS)
    assert without.anomaly_product is None
    assert without.reference_squared_error is None
    assert (_moments(fields) + without).truth_anomaly_squared is None
    assert without.squared_error == _moments(fields).squared_error


_ROWS = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.integers(1, 20)),
    elements=st.floats(-1000, 1000, width=32),
)


@given(data=st.data(), truth=_ROWS)
def test_a_forecast_has_the_same_digits_whichever_was_measured_first(data: st.DataObject, truth: Field) -> None:
    def another(elements: Any) -> Field:
        return data.draw(hnp.arrays(np.float32, truth.shape, elements=elements))

    finite = st.floats(-1000, 1000, width=32)
    baselines = {name: another(st.one_of(finite, st.just(np.nan))) for name in ("climatology", "reference")}
    given_fields = {"truth": truth, **data.draw(st.sampled_from([baselines, {}]))}
    weights = np.array(data.draw(st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=len(truth), max_size=len(truth))))
    forecasts = [another(finite) for _ in range(3)]
    try:
        alone = [field_moments(forecast=f, **given_fields, area_weights=weights) for f in forecasts]
    except NoFiniteTruth:
        return
    yardstick = Yardstick(**given_fields, area_weights=weights)
    assert [yardstick.moments(f) for f in forecasts[::-1]] == alone[::-1]
    assert [yardstick.moments(f) for f in forecasts] == alone


def test_rows_that_fill_every_vector_have_the_same_digits_the_second_time() -> None:
    forecast, truth, climatology, reference = np.random.default_rng(3).normal(250.0, 10.0, (4, 3, 1441)).astype("f4")
    yardstick = Yardstick(truth=truth, climatology=climatology, reference=reference, area_weights=np.full(3, 1 / 3))
    assert yardstick.moments(forecast) == yardstick.moments(forecast)


def test_a_bad_forecast_leaves_no_trace_in_the_next_one() -> None:
    good, truth, climatology, reference = _fields(250.0, 10.0)
    yardstick = Yardstick(truth=truth, climatology=climatology, reference=reference, area_weights=_WEIGHTS)
    bad = good.copy()
    bad[2, 3] = np.nan
    for _ in range(2):
        with pytest.raises(NonFiniteForecast):
            yardstick.moments(bad)
        with pytest.raises(OutsideLimits):
            yardstick.moments(good, (300.0, 400.0))
        with pytest.raises(GridMismatch):
            yardstick.moments(good[1:])
        assert yardstick.moments(good) == _moments([good, truth, climatology, reference])


@given(data=st.data(), truth=_ROWS)
def test_swapping_forecast_and_truth_flips_the_bias_only(data: st.DataObject, truth: Field) -> None:
    forecast = data.draw(hnp.arrays(np.float32, truth.shape, elements=st.floats(-1000, 1000, width=32)))
    weights = np.full(truth.shape[0], 1 / truth.shape[0])
    one = field_moments(forecast=forecast, truth=truth, area_weights=weights)
    other = field_moments(forecast=truth, truth=forecast, area_weights=weights)
    assert one.error == -other.error
    assert (one.squared_error, one.absolute_error) == (other.squared_error, other.absolute_error)


@given(data=st.data(), truth=_ROWS)
def test_rows_in_another_order_give_the_same_sums(data: st.DataObject, truth: Field) -> None:
    order = data.draw(st.permutations(range(truth.shape[0])))
    forecast = np.roll(truth, 1, axis=1)
    weights = np.linspace(1, 2, truth.shape[0])
    weights /= weights.sum()
    one = field_moments(forecast=forecast, truth=truth, area_weights=weights)
    other = field_moments(forecast=forecast[order], truth=truth[order], area_weights=weights[order])
    assert other.squared_error == pytest.approx(one.squared_error, rel=1e-12)
    assert other.truth_eddy_variation == pytest.approx(one.truth_eddy_variation, rel=1e-9, abs=1e-6)


def test_weights_of_points_give_the_sums_of_the_same_weights_of_rows() -> None:
    fields = _fields(101_325.0, 1500.0)
    fields[1][1, 3] = np.nan
    by_row, by_point = _moments(fields), _moments(fields, point_weights(_WEIGHTS, _SHAPE))
    size = by_row.absolute_error
    for name in Moments.__struct_fields__:
        assert getattr(by_point, name) == pytest.approx(getattr(by_row, name), rel=1e-12, abs=1e-12 * size), name


@pytest.mark.parametrize(("mean", "spread"), _MAGNITUDES)
@pytest.mark.parametrize("cut", [1, 2, 4])
def test_the_parts_of_a_field_merge_into_the_whole(mean: float, spread: float, cut: int) -> None:
    fields = _fields(mean, spread)
    north, south = (
        _moments([field[rows] for field in fields], _WEIGHTS[rows]) for rows in (slice(cut), slice(cut, None))
    )
    merged, whole = north + south, _moments(fields)
    # Signed sums may cancel: what they are exact to is the size of what is summed.
    sizes = {"error": whole.absolute_error, "covariation": whole.truth_variation + whole.error_variation}
    for name in Moments.__struct_fields__:
        tolerance = 1e-12 * sizes.get(name, 0.0)
        assert getattr(merged, name) == pytest.approx(getattr(whole, name), rel=1e-11, abs=tolerance), name
    correlations = [metrics_of(sums).pattern_correlation for sums in (merged, whole)]
    assert correlations[0] == pytest.approx(correlations[1], abs=1e-12)


def test_fields_about_different_means_merge_about_the_common_one() -> None:
    # Truths 1, 3 and 11, 13: the mean is 7, departures -6, -4, 4, 6.
    def of(*truth: float) -> Moments:
        row = np.array([truth], dtype=np.float32)
        return field_moments(forecast=row, truth=row, area_weights=np.ones(1))

    merged = of(1, 3) + of(11, 13)
    assert merged.truth_variation == pytest.approx((36 + 16 + 16 + 36) / 2)


def test_the_order_of_merging_changes_no_digit() -> None:
    parts = [_moments(_fields(250.0 + seed, 10.0, seed)) for seed in range(9)]
    assert Moments.total(parts) == Moments.total(reversed(parts)) == Moments.total(parts[4:] + parts[:4])


@given(
    forecast=hnp.arrays(
        np.float32, (3, 7), elements=st.one_of(st.floats(width=32), st.sampled_from([np.float32(0.1), np.float32(-2)]))
    ),
    truth=hnp.arrays(np.float32, (3, 7), elements=st.sampled_from([0.0, 1.0, np.nan])),
    by_point=st.booleans(),
)
def test_a_forecast_beyond_its_limits_is_refused_wherever_that_is(
    forecast: Field, truth: Field, *, by_point: bool
) -> None:
    # Row 1 weighs nothing. 0.1 as a float32 is above 0.1, and what a forecast that was clipped to it holds.
    truth[0, 0] = 1.0
    weights = np.array([0.5, 0.0, 0.5])
    area_weights = point_weights(weights, truth.shape) if by_point else weights
    within = (forecast >= np.float32(-2.0)) & (forecast <= np.float32(0.1))
    if within.all():
        field_moments((-2.0, 0.1), forecast=forecast, truth=truth, area_weights=area_weights)
    else:
        with pytest.raises(OutsideLimits, match=f"^{(~within).sum()} of 21 values are not from -2 to 0.1$") as raised:
            field_moments((-2.0, 0.1), forecast=forecast, truth=truth, area_weights=area_weights)
        assert raised.value.fault is Fault.MINER


@pytest.mark.parametrize("gap_in", [1, 2, 3])
@pytest.mark.parametrize("gap", [np.nan, np.inf, -np.inf])
def test_a_gap_takes_out_its_point_and_no_other(gap_in: int, gap: float) -> None:
    fields, gappy = _fields(250.0, 10.0), _fields(250.0, 10.0)
    gappy[gap_in][2, 3] = gap
    there = np.ones(_SHAPE)
    there[2, 3] = 0.0
    sums, without = _moments(gappy), _moments(fields, point_weights(_WEIGHTS, _SHAPE) * there)
    for name in ("error", "squared_error", "anomaly_product", "truth_anomaly_squared", "reference_squared_error"):
        assert getattr(sums, name) == pytest.approx(getattr(without, name), rel=1e-12), name
    assert sums.finite_area == pytest.approx(without.area, rel=1e-14)
    assert sums.truth_eddy_variation == pytest.approx(without.truth_eddy_variation, rel=1e-12)


@pytest.mark.parametrize("by_point", [False, True])
@pytest.mark.parametrize("placeholder", [1e20, 9.96921e36, -9999.0])
def test_what_stands_for_a_missing_value_where_nothing_counts_costs_no_digit(
    placeholder: float, *, by_point: bool
) -> None:
    fields, filled = _fields(280.0, 10.0), _fields(280.0, 10.0)
    weights = _WEIGHTS * np.array([0.0, 1.0, 1.0, 1.0, 1.0])
    area_weights = point_weights(weights, _SHAPE) if by_point else weights
    filled[1][0] = placeholder
    assert _moments(filled, area_weights) == _moments(fields, area_weights)


def test_a_truth_without_climatology_costs_no_digit() -> None:
    # About the mean of 1, 3 and 8, which is 4: 9 + 1 + 16. The placeholder has no climatology and does not count.
    truth = np.array([[1e20, 1, 3, 8]], dtype=np.float32)
    climatology = np.array([[np.nan, 0, 0, 0]], dtype=np.float32)
    sums = field_moments(forecast=truth, truth=truth, climatology=climatology, area_weights=np.full(1, 4.0))
    assert sums.truth_variation == 26.0


@pytest.mark.parametrize("by_point", [False, True])
def test_nothing_of_a_fields_size_is_allocated(*, by_point: bool) -> None:
    fields = [np.random.default_rng(seed).random((256, 512), dtype=np.float32) for seed in range(4)]
    weights = np.full((256, 512), 1 / 256 / 512) if by_point else np.full(256, 1 / 256)
    _moments(fields, weights)  # compiled by now
    tracemalloc.start()
    try:
        _moments(fields, weights)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # By point, the check of the weights makes a truth value of a byte each, a quarter of a field.
    assert peak < fields[0].nbytes * (0.6 if by_point else 0.1)


@given(data=st.data(), shift=st.integers(0, 19), truth=_ROWS)
def test_turning_the_globe_changes_no_score(data: st.DataObject, shift: int, truth: Field) -> None:
    forecast = data.draw(hnp.arrays(np.float32, truth.shape, elements=st.floats(-1000, 1000, width=32)))
    weights = np.full(truth.shape[0], 1 / truth.shape[0])
    one = field_moments(forecast=forecast, truth=truth, area_weights=weights)
    turned = field_moments(
        forecast=np.roll(forecast, shift, axis=1), truth=np.roll(truth, shift, axis=1), area_weights=weights
    )
    assert turned.squared_error == pytest.approx(one.squared_error, rel=1e-12)
    assert turned.absolute_error == pytest.approx(one.absolute_error, rel=1e-12)
