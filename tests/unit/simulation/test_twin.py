"""Twin experiments: whoever knows the initial state better, or resolves more, forecasts better. Seeds are fixed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from gaia.protocol.run_spec import FieldId, GridSpec
from gaia.simulation.nature import NatureRun
from gaia.simulation.spectral import UnresolvedGrid
from gaia.simulation.structure import ChartMaker
from gaia.simulation.twin import BadTwinExperiment, forecast_charts, twin_forecast
from tests.unit.simulation.conftest import WORLD_HOURS
from tests.unit.simulation.test_nature import rms_height

pytestmark = pytest.mark.slow  # ten days of a world, and forecasts of them

LEAD_H = WORLD_HOURS[2::2]  # 24, 48 ... 240
MEDIUM = slice(1, 4)  # 48, 72, 96 h
Z500 = FieldId("z", 500)


def errors(world: NatureRun, truncation: int, initial_error: float, seed: int = 1) -> np.ndarray:
    """m2 s-2 at each of LEAD_H."""
    states = twin_forecast(world.states[0], LEAD_H, truncation=truncation, initial_error=initial_error, seed=seed)
    return rms_height(states, world.states[2::2])


def test_the_exact_state_gives_the_exact_forecast(world: NatureRun) -> None:
    np.testing.assert_array_equal(
        twin_forecast(world.states[0], LEAD_H, truncation=42, initial_error=0.0, seed=0), world.states[2::2]
    )


def test_smaller_initial_error_means_smaller_error_over_ten_days(world: NatureRun) -> None:
    by_error = [errors(world, 42, initial_error) for initial_error in (0.03, 0.1, 0.3)]
    for better, worse in pairwise(by_error):
        assert better.mean() < 0.7 * worse.mean()
        assert (better < worse).all()


def test_even_a_good_forecast_decays(world: NatureRun) -> None:
    good = errors(world, 42, 0.1)
    assert good[-1] > 2 * good[0]


def test_ranking_at_medium_leads_is_the_expected_one(world: NatureRun) -> None:
    """T42 before T21 before damped persistence before persistence, at 48 to 96 h."""
    truth, start, usual = world.states[2::2], world.states[0], world.climatology
    damping = np.exp(-np.array(LEAD_H) / 72.0)[:, None, None]
    ranking = [
        errors(world, 42, 0.1),
        errors(world, 21, 0.1),
        rms_height(usual + damping * (start - usual), truth),
        rms_height(start, truth),
    ]
    medium = [forecast[MEDIUM].mean() for forecast in ranking]
    assert medium == sorted(medium)
    assert medium[0] < 0.7 * medium[1] < 0.7 * medium[2]


def test_damped_persistence_lies_between_persistence_and_climatology_over_ten_days(world: NatureRun) -> None:
    truth, start, usual = world.states[2::2], world.states[0], world.climatology
    damping = np.exp(-np.array(LEAD_H) / 72.0)[:, None, None]
    damped = rms_height(usual + damping * (start - usual), truth).mean()
    assert damped < rms_height(start, truth).mean()
    assert damped < 1.05 * rms_height(usual, truth).mean()


def test_forecast_from_a_chart_is_nearly_perfect_without_initial_error(world: NatureRun) -> None:
    """All that is lost is the float32 rounding of the chart; after ten days it is far below the spread of 1000."""
    grid = GridSpec.global_grid(3.0)
    maker, fields = ChartMaker(grid), [Z500, FieldId("2t"), FieldId("v", 250)]
    chart = maker.charts(world.states[0], [Z500])[0]
    for state, charts in zip(world.states[2::2], forecast_charts(chart, 500, grid, fields, LEAD_H), strict=True):
        truth = maker.charts(state, fields)
        assert charts.shape == (3, 61, 120)
        assert np.abs(charts[0] - truth[0]).max() < 5.0
        np.testing.assert_allclose(charts[1:], truth[1:], atol=0.1)


def test_seeds_give_different_errors_of_one_size(world: NatureRun) -> None:
    first, second = (
        twin_forecast(world.states[0], [0], truncation=42, initial_error=0.1, seed=seed)[0] for seed in (1, 2)
    )
    for state in (first, second):
        assert rms_height(state, world.states[0]) == pytest.approx(100.0)
    assert rms_height(first, second) > 100.0


@pytest.mark.parametrize("truncation", [0, 43])
def test_truncations_beyond_the_world_are_refused(world: NatureRun, truncation: int) -> None:
    with pytest.raises(BadTwinExperiment, match="T42"):
        twin_forecast(world.states[0], [24], truncation=truncation, initial_error=0.0, seed=0)


def test_a_coarse_chart_is_refused() -> None:
    grid = GridSpec.global_grid(5.0)
    with pytest.raises(UnresolvedGrid, match="finer grid"):
        next(forecast_charts(np.zeros(grid.shape, np.float32), 500, grid, [Z500], [24]))
