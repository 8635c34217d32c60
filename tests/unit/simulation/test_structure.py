"""The vertical structure against the US Standard Atmosphere's tables and the laws it claims to obey."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaia.protocol.run_spec import FieldId, GridSpec
from gaia.simulation.initial_error import random_anomaly
from gaia.simulation.nature import rest_state
from gaia.simulation.spectral import Coefficients, UnresolvedGrid
from gaia.simulation.structure import (
    GAS_CONSTANT,
    ChartMaker,
    UnknownField,
    amplitude,
    saturation_humidity,
    standard_geopotential,
    standard_temperature,
)
from gaia.tasks.defined_tasks.weather.production import production_spec
from gaia.tasks.defined_tasks.weather.variables import VARIABLES

GRID = GridSpec.global_grid(3.0)
LEVELS_HPA = st.floats(50.0, 1000.0)


@pytest.fixture(scope="module")
def flow() -> Coefficients:
    """A stormy day: jets, and disturbances as strong as the nature run's."""
    return rest_state() + random_anomaly((8,), 1000.0)


@pytest.mark.parametrize(
    ("level_hpa", "height_m", "temperature_k"),
    [(1000, 111, 287.4), (850, 1457, 278.7), (500, 5574, 251.9), (250, 10363, 220.8), (100, 16180, 216.65)],
)
def test_mean_profile_is_the_us_standard_atmosphere(level_hpa: int, height_m: float, temperature_k: float) -> None:
    """Table values of the US Standard Atmosphere 1976 (NOAA-S/T 76-1562)."""
    assert standard_geopotential(level_hpa) / 9.80665 == pytest.approx(height_m, abs=1.5)
    assert standard_temperature(level_hpa) == pytest.approx(temperature_k, abs=0.1)


def test_the_flow_at_500_hpa_is_the_model_itself() -> None:
    assert amplitude(500) == pytest.approx(1.0)
    assert amplitude(250) > amplitude(500) > amplitude(850) > amplitude(1000) > 0


@given(LEVELS_HPA)
def test_temperature_is_hydrostatic_with_geopotential(level_hpa: float) -> None:
    """T = -(1/R) d phi / d ln p, by finite differences, for the mean and for the disturbances alike."""
    step = 1e-4
    above, below = level_hpa * np.exp(-step), level_hpa * np.exp(step)
    if not above < 226.3206 < below:  # the lapse rate jumps at the tropopause
        mean = (standard_geopotential(above) - standard_geopotential(below)) / (2 * step * GAS_CONSTANT)
        assert mean == pytest.approx(standard_temperature(level_hpa), abs=1e-3)


def test_charts_are_hydrostatic(flow: Coefficients) -> None:
    """Mean temperature of a thin layer = its thickness / (R ln ratio)."""
    upper, lower, middle = 490, 510, 500
    z_upper, z_lower, t = ChartMaker(GRID).charts(
        flow, [FieldId("z", upper), FieldId("z", lower), FieldId("t", middle)]
    )
    thickness = (z_upper.astype(np.float64) - z_lower) / (GAS_CONSTANT * np.log(lower / upper))
    np.testing.assert_allclose(t, thickness, atol=0.02)


def test_wind_is_near_geostrophic_in_middle_latitudes(flow: Coefficients) -> None:
    z, u = ChartMaker(GRID).charts(flow, [FieldId("z", 500), FieldId("u", 500)]).astype(np.float64)
    latitude = np.linspace(90, -90, 61)
    slope = np.gradient(z, np.deg2rad(latitude), axis=0) / 6.371e6
    with np.errstate(divide="ignore"):
        geostrophic = -slope / (2 * 7.292e-5 * np.sin(np.deg2rad(latitude)))[:, None]
    middle = (np.abs(latitude) > 35) & (np.abs(latitude) < 65)
    difference = (u - geostrophic)[middle]
    assert np.sqrt((difference**2).mean()) < 0.25 * u[middle].std()


def test_all_69_production_fields_are_plausible_and_vary(flow: Coefficients) -> None:
    fields = production_spec().fields()
    charts = ChartMaker(GRID).charts(flow, fields)
    assert charts.shape == (69, 61, 120)
    assert charts.dtype == np.float32
    for field, values in zip(fields, charts, strict=True):
        low, high = VARIABLES[field.variable].plausible
        assert low < values.min() < values.max() < high, field
        assert values.std() > 1e-4 * np.abs(values).max(), field


def test_pressure_at_sea_level_falls_where_the_lowest_chart_falls(flow: Coefficients) -> None:
    """Hydrostatic: where the 1000 hPa surface lies at the ground, the pressure is 1000 hPa."""
    msl, z1000 = ChartMaker(GRID).charts(flow, [FieldId("msl"), FieldId("z", 1000)]).astype(np.float64)
    expected = 100_000 * np.exp(z1000 / (GAS_CONSTANT * 288.15))
    np.testing.assert_allclose(msl, expected, rtol=1e-6)


def test_saturation_humidity_is_bolton_s() -> None:
    """At 20 C: 6.112 exp(17.67 x 20 / 263.5) = 23.37 hPa; 0.622 x 23.37 / (1000 - 0.378 x 23.37) = 14.67 g/kg."""
    assert saturation_humidity(np.array([293.15]), 1000.0)[0] == pytest.approx(0.01467, abs=1e-5)


@pytest.mark.parametrize("level_hpa", [250, 500, 850])
def test_flow_is_recovered_from_a_chart_of_any_level(flow: Coefficients, level_hpa: int) -> None:
    maker = ChartMaker(GRID)
    chart = maker.charts(flow, [FieldId("z", level_hpa)])[0]
    recovered = maker.streamfunction(chart, level_hpa)
    z500 = [FieldId("z", 500)]
    np.testing.assert_allclose(maker.charts(recovered, z500), maker.charts(flow, z500), atol=0.05)


def test_a_coarse_grid_can_be_drawn_on_but_not_read_from(flow: Coefficients) -> None:
    maker = ChartMaker(GridSpec.global_grid(10.0))
    chart = maker.charts(flow, [FieldId("z", 500)])[0]
    assert chart.shape == (19, 36)
    with pytest.raises(UnresolvedGrid):
        maker.streamfunction(chart, 500)


@pytest.mark.parametrize("field", [FieldId("z"), FieldId("2t", 500), FieldId("rain"), FieldId("w", 500)])
def test_fields_that_the_world_lacks_are_refused_by_name(flow: Coefficients, field: FieldId) -> None:
    with pytest.raises(UnknownField, match=str(field)):
        ChartMaker(GRID).charts(flow, [field])
