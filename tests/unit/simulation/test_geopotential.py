"""The forecast from one chart: symmetries on made charts, skill on real ones."""

from __future__ import annotations

from typing import Any

import eccodes
import numpy as np
import pytest
from numpy.typing import NDArray

from gaia.simulation.geopotential import BadInitialState, forecast_geopotential
from gaia.simulation.spectral import FloatArray, LatLonGrid, UnresolvedGrid
from tests.support.real_data import ERA5_GRIB, needs_real_data
from tests.unit.simulation.random_fields import random_coefficients

LATITUDE_DEG: FloatArray = np.linspace(90.0, -90.0, 61)
LONGITUDE_DEG: FloatArray = np.linspace(0.0, 357.0, 120)
GRAVITY = 9.80665


def chart(seed: int = 1) -> NDArray[np.float32]:
    """Highs and lows of some 1000 m2 s-2."""
    field = LatLonGrid(LATITUDE_DEG, LONGITUDE_DEG, 15).to_grid(random_coefficients(15, seed)[0])
    return np.asarray(54_000 + 1000 * field / field.std(), np.float32)


def rmse_gpm(forecast: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Exact cell-area weights: differences of sin(latitude) at the cells' edges, which end at the poles."""
    edges = np.deg2rad(np.clip(np.arange(91.5, -93.0, -3.0), -90, 90))
    area = np.sin(edges[:-1]) - np.sin(edges[1:])
    mean_square = ((forecast.astype(np.float64) - truth) ** 2).mean(axis=1)
    return float(np.sqrt((area * mean_square).sum() / area.sum())) / GRAVITY


def real_charts(member: int) -> NDArray[np.float32]:
    """(4 times 12 h apart, 61, 120) z500 in m2 s-2."""
    charts: dict[tuple[int, int], NDArray[Any]] = {}
    with ERA5_GRIB.open("rb") as file:
        while (message := eccodes.codes_grib_new_from_file(file)) is not None:
            keys = {k: eccodes.codes_get(message, k) for k in ("shortName", "level", "number", "dataDate", "dataTime")}
            if (keys["shortName"], keys["level"], keys["number"]) == ("z", 500, member):
                values = eccodes.codes_get_values(message)
                charts[keys["dataDate"], keys["dataTime"]] = values.reshape(61, 120)
            eccodes.codes_release(message)
    return np.stack([charts[time] for time in sorted(charts)]).astype(np.float32)


@needs_real_data
@pytest.mark.real_data
@pytest.mark.parametrize("member", [0, 7])
def test_real_forecast_beats_persistence_and_the_manifest_figures(member: int) -> None:
    """MANIFEST.md: persistence errs by 39.1, 63.2, 76.5 gpm; a T42 barotropic forecast by about 21, 38, 54."""
    truth = real_charts(member)
    forecast = forecast_geopotential(truth[0], LATITUDE_DEG, LONGITUDE_DEG, [12, 24, 36])
    errors = [rmse_gpm(forecast[i], truth[i + 1]) for i in range(3)]
    persistence = [rmse_gpm(truth[0], truth[i + 1]) for i in range(3)]
    np.testing.assert_allclose(persistence, [39.1, 63.2, 76.5], atol=0.35)
    assert np.all(np.array(errors) < [21.0, 38.0, 54.0])


@needs_real_data
@pytest.mark.real_data
def test_real_forecast_from_another_start_beats_persistence_too() -> None:
    """The constants were settled on the first start."""
    truth = real_charts(0)
    forecast = forecast_geopotential(truth[1], LATITUDE_DEG, LONGITUDE_DEG, [12, 24])
    for i in range(2):
        assert rmse_gpm(forecast[i], truth[i + 2]) < 0.65 * rmse_gpm(truth[1], truth[i + 2])


def test_no_lead_time_gives_the_chart_back() -> None:
    np.testing.assert_array_equal(forecast_geopotential(chart(), LATITUDE_DEG, LONGITUDE_DEG, [0])[0], chart())


def test_a_flat_chart_stays_flat() -> None:
    flat = np.full((61, 120), 54_000.0, np.float32)
    np.testing.assert_allclose(forecast_geopotential(flat, LATITUDE_DEG, LONGITUDE_DEG, [36])[0], 54_000.0, atol=0.1)


def test_weather_turns_with_the_planet() -> None:
    """A chart moved 30 degrees east gives the forecast moved 30 degrees east: the sphere has no marked meridian."""
    straight = forecast_geopotential(chart(), LATITUDE_DEG, LONGITUDE_DEG, [24])
    turned = forecast_geopotential(np.roll(chart(), 10, axis=1), LATITUDE_DEG, LONGITUDE_DEG, [24])
    np.testing.assert_allclose(turned, np.roll(straight, 10, axis=2), atol=0.05)


def test_the_southern_hemisphere_mirrors_the_northern() -> None:
    straight = forecast_geopotential(chart(), LATITUDE_DEG, LONGITUDE_DEG, [24])
    mirrored = forecast_geopotential(chart()[::-1], LATITUDE_DEG, LONGITUDE_DEG, [24])
    np.testing.assert_allclose(mirrored, straight[:, ::-1], atol=0.05)


def test_latitudes_may_run_northward() -> None:
    southward = forecast_geopotential(chart(), LATITUDE_DEG, LONGITUDE_DEG, [24])
    northward = forecast_geopotential(chart()[::-1], LATITUDE_DEG[::-1], LONGITUDE_DEG, [24])
    np.testing.assert_allclose(northward, southward[:, ::-1], atol=0.05)


def test_initial_error_disturbs_the_start_by_the_asked_amount() -> None:
    """0.1 of the spread of 1000 m2 s-2 is 100 m2 s-2, or 10.2 gpm."""
    disturbed = forecast_geopotential(chart(), LATITUDE_DEG, LONGITUDE_DEG, [0], initial_error=0.1, seed=4)[0]
    assert rmse_gpm(disturbed, chart()) == pytest.approx(10.2, rel=0.02)
    again = forecast_geopotential(chart(), LATITUDE_DEG, LONGITUDE_DEG, [0], initial_error=0.1, seed=4)[0]
    np.testing.assert_array_equal(disturbed, again)
    other = forecast_geopotential(chart(), LATITUDE_DEG, LONGITUDE_DEG, [0], initial_error=0.1, seed=5)[0]
    assert rmse_gpm(disturbed, other) > 10.0


@pytest.mark.parametrize("truncation", [5, 21])
def test_coarser_models_forecast_too(truncation: int) -> None:
    assert np.isfinite(forecast_geopotential(chart(), LATITUDE_DEG, LONGITUDE_DEG, [24], truncation)).all()


def test_a_chart_with_holes_is_refused() -> None:
    holed = chart()
    holed[3, 4] = np.nan
    with pytest.raises(BadInitialState, match="1 points"):
        forecast_geopotential(holed, LATITUDE_DEG, LONGITUDE_DEG, [12])


def test_a_chart_on_another_grid_is_refused() -> None:
    with pytest.raises(BadInitialState, match="60 x 120"):
        forecast_geopotential(chart(), LATITUDE_DEG[:60], LONGITUDE_DEG, [12])


@pytest.mark.parametrize("lead_h", [[24, 12], [12, 12], [-6, 6]])
def test_leads_that_do_not_ascend_are_refused(lead_h: list[int]) -> None:
    with pytest.raises(BadInitialState, match="ascend"):
        forecast_geopotential(chart(), LATITUDE_DEG, LONGITUDE_DEG, lead_h)


def test_more_waves_than_the_grid_can_hold_are_refused_at_once() -> None:
    with pytest.raises(UnresolvedGrid, match="T1001"):
        forecast_geopotential(chart(), LATITUDE_DEG, LONGITUDE_DEG, [12], truncation=1000)
