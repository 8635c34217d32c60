"""Centred statistics of anomalies: by hand, against exact rational sums, and merged."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaia.contracts.errors import Fault
from gaia.tasks.defined_tasks.weather.scoring.comoments import (
    Comoments,
    activity,
    anomaly_comoments,
    correlation,
)
from gaia.tasks.defined_tasks.weather.scoring.field import BadField, Field, NoFiniteTruth, NonFiniteForecast
from gaia.tasks.defined_tasks.weather.scoring.grid import Grid, GridMismatch, point_weights
from tests.unit.tasks.weather.scoring.rational import ExactSums, exact

_SHAPE = (5, 8)
_WEIGHTS = Grid.of(np.linspace(80, -80, 5), np.arange(8) * 45.0).area_weights()


def _row(*values: float) -> Field:
    return np.array([values], dtype=np.float32)


def _fields(mean: float, spread: float, seed: int = 3) -> list[Field]:
    return list(np.random.default_rng(seed).normal(mean, spread, (3, *_SHAPE)).astype(np.float32))


def test_three_points_by_hand() -> None:
    # Anomalies 4, 0, 2 (mean 2) against 3, 1, 2 (mean 2): departures 2, -2, 0 and 1, -1, 0.
    sums = anomaly_comoments(
        forecast=_row(14, 10, 12), truth=_row(13, 11, 12), climatology=_row(10, 10, 10), area_weights=np.ones(1)
    )
    third = 1 / 3
    assert (sums.x, sums.y) == pytest.approx((2.0, 2.0))
    assert sums.x_variation == pytest.approx(8 * third)
    assert sums.y_variation == pytest.approx(2 * third)
    assert sums.covariation == pytest.approx(4 * third)
    assert correlation(sums) == pytest.approx(1.0)
    moved = activity(sums)
    assert moved is not None
    assert (moved.forecast, moved.truth) == pytest.approx((math.sqrt(8 / 3), math.sqrt(2 / 3)))
    assert moved.ratio == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("mean", "spread"),
    [(101_325.0, 1500.0), (3e-6, 2e-6), (288.0, 0.01), (0.0, 1e18)],
    ids=["msl in Pa", "q near 1e-6", "nearly equal fields", "absurd values"],
)
@pytest.mark.parametrize("climatology_is_zero", [False, True])
def test_sums_agree_with_exact_rational_arithmetic(mean: float, spread: float, *, climatology_is_zero: bool) -> None:
    forecast, truth, climatology = _fields(mean, spread)
    if climatology_is_zero:  # anomalies far from zero: the means must not eat the digits of the variations
        climatology = np.zeros_like(climatology)
    sums = anomaly_comoments(forecast=forecast, truth=truth, climatology=climatology, area_weights=_WEIGHTS)
    f, t, c = exact(forecast), exact(truth), exact(climatology)
    x = lambda j, i: f[j][i] - c[j][i]  # noqa: E731
    y = lambda j, i: t[j][i] - c[j][i]  # noqa: E731
    rational = ExactSums(point_weights(_WEIGHTS, _SHAPE))
    xx, yy, xy = (float(rational.covariation(*pair)) for pair in ((x, x), (y, y), (x, y)))
    assert sums.x_variation == pytest.approx(xx, rel=1e-12, abs=0.0)
    assert sums.y_variation == pytest.approx(yy, rel=1e-12, abs=0.0)
    assert sums.covariation == pytest.approx(xy, abs=1e-12 * math.sqrt(xx * yy))
    assert correlation(sums) == pytest.approx(xy / math.sqrt(xx) / math.sqrt(yy), abs=1e-12)


@pytest.mark.parametrize("offset", [0.0, 5.0])
@pytest.mark.parametrize("shift_degrees", [0.0, 30.0, 90.0, 180.0])
def test_a_shifted_wave_correlates_as_trigonometry_says(shift_degrees: float, offset: float) -> None:
    # An offset of the forecast is a bias: the centred correlation, cos s, does not see it.
    longitude, shift = np.deg2rad(np.arange(0.0, 360.0, 2.5)), math.radians(shift_degrees)
    truth, forecast = (np.cos(3 * longitude + s)[None].astype(np.float32) for s in (0.0, shift))
    sums = anomaly_comoments(
        forecast=2 * forecast + np.float32(offset),
        truth=truth,
        climatology=np.zeros_like(truth),
        area_weights=np.ones(1),
    )
    assert correlation(sums) == pytest.approx(math.cos(shift), abs=1e-6)
    moved = activity(sums)
    assert moved is not None
    assert moved.truth == pytest.approx(math.sqrt(0.5), abs=1e-6)
    assert moved.ratio == pytest.approx(2.0, abs=1e-6)


def test_flat_anomalies() -> None:
    flat, wavy = _row(3, 3), _row(1, 2)
    zero = np.zeros_like(flat)
    assert correlation(anomaly_comoments(forecast=flat, truth=wavy, climatology=zero, area_weights=np.ones(1))) == 0.0
    still = anomaly_comoments(forecast=wavy, truth=flat, climatology=zero, area_weights=np.ones(1))
    assert correlation(still) is None
    moved = activity(still)
    assert moved is not None
    assert moved.ratio is None


def test_zero_has_neither_correlation_nor_activity() -> None:
    assert correlation(Comoments()) is None
    assert activity(Comoments()) is None
    assert Comoments() + Comoments() == Comoments()


def test_points_without_truth_or_climatology_are_left_out() -> None:
    sums = anomaly_comoments(
        forecast=_row(math.nan, 2, 4, math.inf),
        truth=_row(math.nan, 1, 3, 5),
        climatology=_row(0, 0, 0, math.nan),
        area_weights=np.ones(1),
    )
    assert (sums.area, sums.x, sums.y) == (0.5, 1.5, 1.0)


def test_unusable_fields_are_refused() -> None:
    one, nothing = _row(1, 1), _row(math.nan, math.nan)
    with pytest.raises(NoFiniteTruth, match="no finite point in common"):
        anomaly_comoments(forecast=one, truth=one, climatology=nothing, area_weights=np.ones(1))
    with pytest.raises(NonFiniteForecast, match=r"1 of 2 values .* first is inf at index \(0, 1\)") as raised:
        anomaly_comoments(forecast=_row(1, math.inf), truth=one, climatology=one, area_weights=np.ones(1))
    assert raised.value.fault is Fault.MINER
    with pytest.raises(GridMismatch):
        anomaly_comoments(forecast=_row(1), truth=one, climatology=one, area_weights=np.ones(1))
    with pytest.raises(BadField):
        anomaly_comoments(
            forecast=one.astype(np.float64),
            truth=one,
            climatology=one,
            area_weights=np.ones(1),
        )


_VALUES = st.lists(st.floats(-1000, 1000, width=32), min_size=24, max_size=24)


@given(forecast=_VALUES, truth=_VALUES, cut=st.integers(1, 7), offset=st.sampled_from([0.0, 1000.0]))
def test_the_parts_of_a_field_merge_into_the_whole(
    forecast: list[float], truth: list[float], cut: int, offset: float
) -> None:
    f, t = (np.array(values, dtype=np.float32).reshape(3, 8) + np.float32(offset) for values in (forecast, truth))
    climatology = np.full_like(t, offset / 2)
    weights = np.full((3, 8), 1 / 24)

    def part(columns: slice) -> Comoments:
        return anomaly_comoments(
            forecast=f[:, columns],
            truth=t[:, columns],
            climatology=climatology[:, columns],
            area_weights=weights[:, columns],
        )

    left, right, whole = part(slice(cut)), part(slice(cut, None)), part(slice(None))
    assert left + right == right + left
    size = whole.x_variation + whole.y_variation + 1e-9
    for name in Comoments.__struct_fields__:
        assert getattr(left + right, name) == pytest.approx(getattr(whole, name), rel=1e-12, abs=1e-12 * size), name
