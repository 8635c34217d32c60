"""Scores of members: by hand, against exact rational sums of the definition, analytic and merged."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gaia.tasks.defined_tasks.weather.scoring.ensemble import (
    EnsembleMetrics,
    EnsembleSums,
    NoMembers,
    ensemble_metrics,
    ensemble_sums,
)
from gaia.tasks.defined_tasks.weather.scoring.field import BadField, NoFiniteTruth, NonFiniteForecast
from gaia.tasks.defined_tasks.weather.scoring.grid import Grid, GridMismatch, point_weights
from tests.unit.tasks.weather.scoring.rational import ExactSums, exact


def _column(*values: float) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32).reshape(-1, 1, 1)


def _one_point(members: NDArray[np.float32], truth: float) -> EnsembleMetrics:
    sums = ensemble_sums(members=members, truth=np.full((1, 1), truth, dtype=np.float32), area_weights=np.ones(1))
    metrics = ensemble_metrics(sums)
    assert metrics is not None
    return metrics


def test_three_members_by_hand() -> None:
    # Members 1, 2, 6 and truth 3: distances 2, 1, 3; pairs 1, 5, 4 apart.
    metrics = _one_point(_column(6, 1, 2), 3.0)
    assert metrics.member_mae == pytest.approx(2.0)
    assert metrics.crps == pytest.approx(2 - (1 + 5 + 4) * 2 / 9 / 2)
    assert metrics.fair_crps == pytest.approx(2 - (1 + 5 + 4) * 2 / 6 / 2)
    assert metrics.mean_bias == pytest.approx(0.0)
    assert metrics.mean_rmse == pytest.approx(0.0, abs=1e-15)
    assert metrics.spread == pytest.approx(math.sqrt((4 + 1 + 9) / 2))
    assert metrics.coverage == 1.0


def test_two_members_by_hand() -> None:
    metrics = _one_point(_column(1, 3), 4.0)
    assert metrics.crps == pytest.approx(2 - 0.5)
    assert metrics.fair_crps == pytest.approx(2 - 1)
    assert (metrics.mean_bias, metrics.mean_rmse) == (-2.0, 2.0)
    assert metrics.spread == pytest.approx(math.sqrt(2))
    assert metrics.spread_skill_ratio == pytest.approx(math.sqrt(2 * 3 / 2) / 2)


def test_one_member_is_scored_as_a_point() -> None:
    metrics = _one_point(_column(5), 3.0)
    assert (metrics.crps, metrics.member_mae, metrics.mean_rmse) == (2.0, 2.0, 2.0)
    assert metrics.fair_crps is metrics.spread is metrics.spread_skill_ratio is None


def test_a_perfect_mean_has_no_ratio() -> None:
    assert _one_point(_column(1, 3), 2.0).spread_skill_ratio is None


def test_a_reliable_gaussian_ensemble() -> None:
    # Members and truth from one N(0, 1): the fair CRPS is 1/sqrt(pi) on average, spread and skill agree.
    random = np.random.default_rng(7)
    members, truth = random.normal(size=(8, 100, 200)).astype(np.float32), random.normal(size=(100, 200))
    metrics = ensemble_metrics(
        ensemble_sums(members=members, truth=truth.astype(np.float32), area_weights=np.full(100, 0.01))
    )
    assert metrics is not None
    # 20,000 points: three standard errors of the CRPS (0.35 a point) and of a variance.
    assert metrics.fair_crps == pytest.approx(1 / math.sqrt(math.pi), abs=0.008)
    assert metrics.crps == pytest.approx((1 + 1 / 8) / math.sqrt(math.pi), abs=0.008)
    assert metrics.spread_skill_ratio == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(("mean", "spread"), [(101_325.0, 500.0), (3e-6, 2e-6), (288.0, 0.01)])
@pytest.mark.parametrize("count", [2, 5])
def test_sums_agree_with_exact_rational_arithmetic(mean: float, spread: float, count: int) -> None:
    random = np.random.default_rng(count)
    grid = Grid.of(np.array([60.0, 0.0, -60.0]), np.arange(4) * 90.0)
    members = random.normal(mean, spread, (count, *grid.shape)).astype(np.float32)
    truth = random.normal(mean, spread, grid.shape).astype(np.float32)
    sums = ensemble_sums(members=members, truth=truth, area_weights=grid.area_weights())
    x, y = [exact(member) for member in members], exact(truth)
    rational = ExactSums(point_weights(grid.area_weights(), grid.shape))

    def error(j: int, i: int) -> Fraction:
        return sum((abs(m[j][i] - y[j][i]) for m in x), start=Fraction(0)) / count

    def pairs(j: int, i: int) -> Fraction:
        return sum((abs(a[j][i] - b[j][i]) for a, b in product(x, x)), start=Fraction(0)) / 2

    def departure(j: int, i: int) -> Fraction:
        return sum((m[j][i] for m in x), start=Fraction(0)) / count - y[j][i]

    def variance(j: int, i: int) -> Fraction:
        return sum(((m[j][i] - y[j][i] - departure(j, i)) ** 2 for m in x), start=Fraction(0)) / (count - 1)

    expected = {
        "crps": rational.total(lambda j, i: error(j, i) - pairs(j, i) / count**2),
        "fair_crps": rational.total(lambda j, i: error(j, i) - pairs(j, i) / (count * (count - 1))),
        "member_error": rational.total(error),
        "mean_squared_error": rational.total(lambda j, i: departure(j, i) ** 2),
        "variance": rational.total(variance),
        "expected_variance": rational.total(variance) * (count + 1) / count,
    }
    for name, value in expected.items():
        assert getattr(sums, name) == pytest.approx(float(value), rel=1e-12, abs=0.0), name
    size = float(expected["member_error"])
    assert sums.mean_error == pytest.approx(float(rational.total(departure)), abs=1e-13 * size)


def test_points_without_truth_are_left_out() -> None:
    members = np.array([[[1, np.nan]], [[3, np.nan]]], dtype=np.float32)
    truth = np.array([[4, np.nan]], dtype=np.float32)
    sums = ensemble_sums(members=members, truth=truth, area_weights=np.ones(1))
    assert (sums.area, sums.finite_area, sums.crps) == (1.0, 0.5, 0.75)


def test_unusable_ensembles_are_refused() -> None:
    truth, members = np.ones((1, 2), dtype=np.float32), np.ones((2, 1, 2), dtype=np.float32)
    rows = np.ones(1)
    with pytest.raises(NoMembers, match=r"must be \(member, latitude, longitude\), got \(1, 2\)"):
        ensemble_sums(members=truth, truth=truth, area_weights=rows)
    with pytest.raises(NoMembers, match=r"got \(0, 1, 2\)"):
        ensemble_sums(members=members[:0], truth=truth, area_weights=rows)
    with pytest.raises(GridMismatch, match=r"members has shape \(2, 1, 1\)"):
        ensemble_sums(members=members[:, :, :1], truth=truth, area_weights=rows)
    with pytest.raises(BadField, match="members must be float32"):
        ensemble_sums(members=members.astype(np.float64), truth=truth, area_weights=rows)
    with pytest.raises(NoFiniteTruth):
        ensemble_sums(members=members, truth=truth * np.float32(np.nan), area_weights=rows)
    members[1, 0, 1] = np.inf
    with pytest.raises(NonFiniteForecast, match=r"1 of 4 values .* first is inf at index \(1, 0, 1\)"):
        ensemble_sums(members=members, truth=truth, area_weights=rows)


def test_merging_with_a_single_member_leaves_no_spread() -> None:
    one, two = (
        ensemble_sums(
            members=np.ones((count, 1, 1), dtype=np.float32),
            truth=np.zeros((1, 1), dtype=np.float32),
            area_weights=np.ones(1),
        )
        for count in (1, 2)
    )
    assert (one + two).variance is None
    assert (one + two).crps == 2.0
    assert EnsembleSums() + two == two
    assert ensemble_metrics(EnsembleSums()) is None


_MEMBERS = st.lists(st.integers(-50, 50), min_size=2, max_size=6)


@given(members=_MEMBERS, truth=st.integers(-50, 50), data=st.data())
def test_members_in_any_order_score_the_same(members: list[int], truth: int, data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(members))
    one, other = _one_point(_column(*members), truth), _one_point(_column(*shuffled), truth)
    assert one.crps == pytest.approx(other.crps, abs=1e-12)
    assert one.spread == pytest.approx(other.spread, abs=1e-12)
    # CRPS is that of a distribution: not negative, at most the members' own error; fair never above standard.
    assert -1e-12 <= one.crps <= one.member_mae + 1e-12
    assert one.fair_crps is not None
    assert one.fair_crps <= one.crps + 1e-12


@given(members=_MEMBERS, truth=st.integers(-50, 50), scale=st.sampled_from([0.25, 4.0, -2.0]))
def test_a_change_of_unit_scales_all_scores(members: list[int], truth: int, scale: float) -> None:
    one, other = _one_point(_column(*members), truth), _one_point(_column(*members) * np.float32(scale), truth * scale)
    assert other.crps == pytest.approx(abs(scale) * one.crps, abs=1e-9)
    assert other.mean_rmse == pytest.approx(abs(scale) * one.mean_rmse, abs=1e-9)
