"""One field in full: by hand, and that all of its numbers speak of the same points."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gaia.tasks.defined_tasks.weather.scoring.field import BadField, Field
from gaia.tasks.defined_tasks.weather.scoring.field_summary import all_metrics, field_statistics
from gaia.tasks.defined_tasks.weather.scoring.grid import GridMismatch
from gaia.tasks.defined_tasks.weather.scoring.metrics import NothingToScore, skill_against
from gaia.tasks.defined_tasks.weather.scoring.moments import Moments, field_moments


def _row(*values: float) -> Field:
    return np.array([values], dtype=np.float32)


def test_two_points_by_hand() -> None:
    metrics = all_metrics(
        field_statistics(
            forecast=_row(3, 7),
            truth=_row(2, 5),
            climatology=_row(1, 1),
            reference=_row(2, 8),
            persistence=_row(4, 9),
            threshold=_row(4, 4),
            area_weights=np.ones(1),
        )
    )
    assert metrics.mse == 2.5  # errors 1 and 2
    assert metrics.skill_clim == pytest.approx(1 - 2.5 / 8.5)
    assert metrics.skill_ref == pytest.approx(1 - 2.5 / 4.5)
    assert metrics.rmse_persistence == pytest.approx(math.sqrt(10))
    assert metrics.skill_persistence == pytest.approx(0.75)
    assert metrics.acc == pytest.approx((2 * 1 + 6 * 4) / math.sqrt((4 + 36) * (1 + 16)))
    assert metrics.acc_centred == pytest.approx(1.0)  # two points lie on a line
    assert metrics.activity is not None
    assert (metrics.activity.forecast, metrics.activity.truth) == pytest.approx((2.0, 1.5))
    assert metrics.extremes is not None
    assert (metrics.extremes.hit_rate, metrics.extremes.false_alarm_rate) == (1.0, 0.0)


@pytest.mark.parametrize("gappy", ["climatology", "reference", "persistence", "threshold"])
@pytest.mark.parametrize("gap", [math.nan, math.inf])
def test_a_gap_in_any_baseline_leaves_the_point_out_of_everything(gappy: str, gap: float) -> None:
    others = {name: _row(1, 1, 1, 1) for name in ("climatology", "reference", "persistence", "threshold")}
    sums = field_statistics(
        forecast=_row(3, 3, 3, 3),
        truth=_row(2, 2, 2, 2),
        area_weights=np.ones(1),
        **(others | {gappy: _row(1, gap, 1, 1)}),
    )
    assert sums.persistence is not None
    assert sums.anomalies is not None
    assert sums.extremes is not None
    areas = (sums.moments.finite_area, sums.persistence.finite_area, sums.anomalies.area, sums.extremes.hits)
    assert areas == (0.75,) * 4
    assert all_metrics(sums).coverage == 0.75


def test_baselines_of_another_shape_or_type_are_refused() -> None:
    one = _row(1, 1)
    with pytest.raises(GridMismatch, match=r"persistence has shape \(1, 1\)"):
        field_statistics(forecast=one, truth=one, persistence=_row(1), area_weights=np.ones(1))
    with pytest.raises(BadField, match="threshold must be float32"):
        field_statistics(forecast=one, truth=one, threshold=one.astype(np.float64), area_weights=np.ones(1))


def test_skill_against_a_baseline_of_other_points_is_refused() -> None:
    def sums(truth: Field) -> Moments:
        return field_moments(forecast=_row(1, 2), truth=truth, area_weights=np.ones(1))

    with pytest.raises(NothingToScore, match=r"the forecast covers 1 and the baseline 0\.5 of the area"):
        skill_against(sums(_row(1, 1)), sums(_row(1, math.nan)))


def test_a_shifted_spherical_harmonic_scores_as_the_sphere_says() -> None:
    # Y = cos(latitude) cos(longitude) has mean square 1/3 over the sphere; turned by s, the mean product is
    # cos(s)/3: MSE 2/3 (1 - cos s), ACC cos s. Mean 0, so the centred ACC is the same, and activity 1.
    latitude, longitude = np.deg2rad(np.linspace(90, -90, 721)), np.deg2rad(np.arange(0, 360, 2.5))
    shift = math.radians(40)
    truth, forecast = ((np.cos(latitude)[:, None] * np.cos(longitude + s)).astype(np.float32) for s in (0.0, shift))
    edges = np.clip(np.linspace(90.125, -90.125, 722), -90, 90)
    weights = -np.diff(np.sin(np.deg2rad(edges))) / 2
    metrics = all_metrics(
        field_statistics(forecast=forecast, truth=truth, climatology=np.zeros_like(truth), area_weights=weights)
    )
    assert metrics.mse == pytest.approx(2 / 3 * (1 - math.cos(shift)), rel=1e-5)
    assert metrics.acc == pytest.approx(math.cos(shift), abs=1e-6)
    assert metrics.acc_centred == pytest.approx(math.cos(shift), abs=1e-6)
    assert metrics.activity is not None
    assert metrics.activity.truth == pytest.approx(math.sqrt(1 / 3), rel=1e-5)
    assert metrics.activity.ratio == pytest.approx(1.0, abs=1e-6)
