"""Metrics by hand, and of fields whose scores follow from trigonometry."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gaia.tasks.defined_tasks.weather.scoring.grid import Grid
from gaia.tasks.defined_tasks.weather.scoring.metrics import (
    NothingToScore,
    anomaly_correlation,
    metrics_of,
    wind_vector_rmse,
)
from gaia.tasks.defined_tasks.weather.scoring.moments import Field, Moments, field_moments

_ONE_ROW = np.ones(1)


def _row(*values: float) -> Field:
    return np.array([values], dtype=np.float32)


def _moments(
    forecast: Field,
    truth: Field,
    climatology: Field | None = None,
    reference: Field | None = None,
    area_weights: NDArray[np.float64] = _ONE_ROW,
) -> Moments:
    return field_moments(
        forecast=forecast,
        truth=truth,
        climatology=climatology,
        reference=reference,
        area_weights=area_weights,
    )


def test_one_point_by_hand() -> None:
    m = metrics_of(_moments(_row(281), _row(280), _row(278), _row(283)))
    assert (m.bias, m.mae, m.mse, m.rmse, m.coverage) == (1.0, 1.0, 1.0, 1.0, 1.0)
    assert (m.rmse_clim, m.rmse_ref) == (2.0, 3.0)
    assert m.skill_clim == 0.75  # 1 - 1/4
    assert m.skill_ref == pytest.approx(8 / 9)
    assert m.acc == 1.0  # anomalies 3 and 2 point the same way
    assert m.pattern_correlation is None  # one point has no pattern
    assert m.truth_eddy == 0.0


def test_two_points_by_hand() -> None:
    m = metrics_of(_moments(_row(3, 1), _row(1, 2), _row(0, 0)))
    assert (m.bias, m.mae, m.mse) == (0.5, 1.5, 2.5)  # errors 2 and -1
    assert m.acc == pytest.approx(5 / math.sqrt(10 * 5))
    assert m.pattern_correlation == -1.0
    assert m.truth_eddy == 0.5
    assert m.skill_clim == 0.0  # the climatology's errors, 1 and 2, are just as large
    assert (m.skill_ref, m.rmse_ref) == (None, None)


def test_rows_count_by_their_area() -> None:
    # Error 2 on the polar rows, 1 at the equator; cap share (1 - sin 45) / 2 each.
    grid = Grid.of(np.array([90.0, 0.0, -90.0]), np.array([0.0, 180.0]))
    error = np.array([[2, 2], [1, 1], [2, 2]], dtype=np.float32)
    m = metrics_of(_moments(error, np.zeros_like(error), area_weights=grid.area_weights()))
    equator = math.sqrt(0.5)
    assert m.mse == pytest.approx(4 * (1 - equator) + equator, rel=1e-15)
    assert m.mae == pytest.approx(2 * (1 - equator) + equator, rel=1e-15)


def test_without_climatology_and_reference_their_metrics_are_not_available() -> None:
    m = metrics_of(_moments(_row(1, 2), _row(2, 4)))
    assert (m.acc, m.skill_clim, m.skill_ref, m.rmse_clim) == (None, None, None, None)


def test_a_forecast_without_anomalies_has_no_correlation() -> None:
    assert metrics_of(_moments(_row(5, 6), _row(7, 8), _row(5, 6))).acc == 0.0


def test_a_perfect_baseline_leaves_nothing_to_be_better_than() -> None:
    m = metrics_of(_moments(_row(5, 6), _row(7, 8), _row(7, 8), _row(7, 8)))
    assert (m.acc, m.skill_clim, m.skill_ref) == (None, None, None)


def test_a_perfect_forecast_has_the_best_of_everything() -> None:
    m = metrics_of(_moments(_row(7, 9), _row(7, 9), _row(5, 5), _row(6, 6)))
    assert (m.rmse, m.skill_clim, m.skill_ref, m.pattern_correlation) == (0.0, 1.0, 1.0, 1.0)
    assert m.acc == pytest.approx(1.0, rel=1e-15)


def test_a_tiny_anomaly_does_not_vanish() -> None:
    tiny = Moments(
        area=1.0,
        finite_area=1.0,
        anomaly_product=1e-200,
        forecast_anomaly_squared=1e-200,
        truth_anomaly_squared=1e-200,
    )
    assert anomaly_correlation(tiny) == pytest.approx(1.0)


@pytest.mark.parametrize("wave", [1, 3, 7])
@pytest.mark.parametrize("shift_degrees", [0.0, 5.0, 90.0])
def test_a_shifted_wave_has_the_scores_that_trigonometry_gives(wave: int, shift_degrees: float) -> None:
    # cos a against cos(a + s): mean square difference 1 - cos s, correlation cos s, on any uniform ring.
    longitude = np.deg2rad(np.arange(0.0, 360.0, 2.5))
    shift = math.radians(shift_degrees)
    truth = np.cos(wave * longitude)[None].astype(np.float32)
    forecast = np.cos(wave * longitude + shift)[None].astype(np.float32)
    m = metrics_of(_moments(forecast, truth, np.zeros_like(truth)))
    assert m.mse == pytest.approx(1 - math.cos(shift), abs=1e-6)
    assert m.acc == pytest.approx(math.cos(shift), abs=1e-6)
    assert m.pattern_correlation == pytest.approx(math.cos(shift), abs=1e-6)
    assert m.truth_eddy == pytest.approx(math.sqrt(0.5), abs=1e-6)


def test_the_area_mean_of_a_spherical_harmonic() -> None:
    # Y = sin(latitude) has mean 0 and mean square 1/3 over the sphere; it has no eddies.
    grid = Grid.of(np.linspace(90, -90, 721), np.arange(4) * 90.0)
    harmonic = np.repeat(np.sin(np.deg2rad(grid.latitude))[:, None], 4, axis=1).astype(np.float32)
    m = metrics_of(_moments(harmonic, np.zeros_like(harmonic), area_weights=grid.area_weights()))
    assert m.bias == pytest.approx(0.0, abs=1e-9)
    assert m.mse == pytest.approx(1 / 3, rel=1e-5)  # cells of 0.25 degrees: the integral to 5 digits
    swapped = metrics_of(_moments(np.zeros_like(harmonic), harmonic, area_weights=grid.area_weights()))
    assert swapped.truth_eddy == pytest.approx(0.0, abs=1e-6)


def test_the_root_is_taken_after_the_mean_over_fields() -> None:
    merged = _moments(_row(3), _row(0)) + _moments(_row(4), _row(0))
    assert metrics_of(merged).rmse == pytest.approx(math.sqrt(12.5))


def test_coverage_is_the_scored_share_of_the_area() -> None:
    assert metrics_of(_moments(_row(1, 1, 1, 1), _row(1, 1, np.nan, 1))).coverage == 0.75


def test_wind_vector_error_is_the_length_of_the_difference() -> None:
    assert wind_vector_rmse(_moments(_row(3), _row(0)), _moments(_row(0), _row(4))) == 5.0


def test_wind_components_of_different_points_are_refused() -> None:
    with pytest.raises(NothingToScore, match=r"u covers 1 and v 0\.5 of the area"):
        wind_vector_rmse(_moments(_row(3, 3), _row(0, 0)), _moments(_row(0, 0), _row(4, np.nan)))


def test_zero_moments_have_no_metrics() -> None:
    with pytest.raises(NothingToScore, match="no field has been added"):
        metrics_of(Moments())


_VALUES = st.floats(-100, 100, width=32).map(lambda x: x if abs(x) > 1e-30 else 0.0)
"""None so small that scaling it would cost it digits."""
_FIELDS = st.integers(2, 12).flatmap(lambda n: st.tuples(*[st.lists(_VALUES, min_size=n, max_size=n)] * 3))


@given(_FIELDS)
def test_correlations_stay_within_one(rows: tuple[list[float], list[float], list[float]]) -> None:
    forecast, truth, climatology = (_row(*values) for values in rows)
    m = metrics_of(_moments(forecast, truth, climatology))
    assert m.acc is None or -1.0 <= m.acc <= 1.0
    assert m.pattern_correlation is None or -1.0 <= m.pattern_correlation <= 1.0
    assert m.mae <= m.rmse * (1 + 1e-12)
    assert abs(m.bias) <= m.mae * (1 + 1e-12)


@given(_FIELDS, st.sampled_from([0.25, 2.0, 1024.0]))
def test_a_change_of_unit_scales_errors_and_leaves_skill(
    rows: tuple[list[float], list[float], list[float]], scale: float
) -> None:
    # A power of two, so that the scaled float32 input is exact.
    f, t, c = (_row(*values) for values in rows)
    unit = np.float32(scale)
    one, other = metrics_of(_moments(f, t, c)), metrics_of(_moments(unit * f, unit * t, unit * c))
    assert other.rmse == pytest.approx(scale * one.rmse, rel=1e-12)
    assert other.acc == (one.acc if one.acc is None else pytest.approx(one.acc, rel=1e-9, abs=1e-12))
