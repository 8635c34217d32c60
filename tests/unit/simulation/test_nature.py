"""The nature run: what drives it, and whether its weather is like the middle latitudes'."""

from __future__ import annotations

import numpy as np
import pytest

from gaia.simulation.balance import linear_balance
from gaia.simulation.initial_error import SPREAD_M2_S2, random_anomaly
from gaia.simulation.nature import (
    BadHours,
    NatureRun,
    StormTrackForcing,
    eddy_energy,
    nature_model,
    rest_state,
    run_nature,
    symmetric_part,
    trajectory,
)
from gaia.simulation.spectral import (
    Coefficients,
    FloatArray,
    LatLonGrid,
    gaussian_grid,
    laplacian_eigenvalues,
    power_by_degree,
)

GRID = LatLonGrid(np.linspace(90.0, -90.0, 61), np.linspace(0.0, 357.0, 120), 42)
STEP_H = 12


def rms_height(a: Coefficients, b: Coefficients) -> FloatArray:
    """Root mean square difference of balanced geopotential, m2 s-2, over the sphere (Parseval)."""
    return np.asarray(np.sqrt(power_by_degree(linear_balance(42).geopotential(a - b)).sum(axis=-1)))


def test_rest_state_is_the_two_jets_that_are_documented() -> None:
    eastward, northward = GRID.wind(rest_state())
    latitude = np.linspace(90, -90, 61)
    expected = 30 * np.exp(-(((np.abs(latitude) - 45) / 10) ** 2))
    np.testing.assert_allclose(eastward[1:-1], np.broadcast_to(expected[1:-1, None], (59, 120)), atol=0.6)
    np.testing.assert_allclose(northward, 0.0, atol=1e-9)


def test_eddy_energy_is_half_the_mean_square_wind_of_the_waves() -> None:
    anomaly = random_anomaly((3,), 1000.0)
    anomaly[:2] = 0.0
    eastward, northward = GRID.wind(anomaly)
    area = np.cos(np.deg2rad(np.linspace(90, -90, 61)))
    energy = 0.5 * ((eastward**2 + northward**2).mean(axis=1) * area).sum() / area.sum()
    got = eddy_energy(anomaly[None], (anomaly * laplacian_eigenvalues(42))[None])
    assert got[0] == pytest.approx(energy, rel=2e-3)


def test_without_eddies_the_flow_is_left_to_relax() -> None:
    rest = rest_state()[None]
    eigenvalues = laplacian_eigenvalues(42)
    tendency = StormTrackForcing(42).vorticity_tendency(1.5 * rest, 1.5 * rest * eigenvalues)
    np.testing.assert_allclose(tendency, -0.5 * rest * eigenvalues / (5 * 86_400), atol=1e-20)


def test_small_synoptic_waves_grow_in_the_storm_tracks_and_strong_ones_do_not() -> None:
    """Net power into the waves, psi* forcing, at a fiftieth of the energy limit and at twice of it."""
    anomaly = random_anomaly((4,), 100.0)
    anomaly[:2] = 0.0
    eigenvalues = laplacian_eigenvalues(42)
    energy = eddy_energy(anomaly[None], (anomaly * eigenvalues)[None])[0]
    powers = []
    for wanted in (75.0 / 50, 150.0):
        state = (anomaly * np.sqrt(wanted / energy))[None]
        forcing = StormTrackForcing(42).vorticity_tendency(state, state * eigenvalues)
        powers.append(-(state.conj() * forcing).real[0, 2:].sum())
    assert powers[0] > 0 > powers[1]


def test_growth_is_confined_to_middle_latitudes() -> None:
    state = random_anomaly((5,), 1000.0)[None]
    eigenvalues = laplacian_eigenvalues(42)
    weak = 1e-3 * state
    grown = StormTrackForcing(42).vorticity_tendency(weak, weak * eigenvalues)
    grown -= StormTrackForcing(42).vorticity_tendency(0 * state, 0 * state)
    chart = np.abs(gaussian_grid(42).to_grid(grown[0])).mean(axis=1)
    latitude = np.abs(gaussian_grid(42).latitude_deg)
    assert chart[(latitude > 35) & (latitude < 55)].mean() > 5 * chart[latitude < 10].mean()


@pytest.mark.slow
def test_same_seed_same_world(world: NatureRun) -> None:
    again = run_nature(1, [0, 12])
    np.testing.assert_array_equal(again.states, world.states[:2])
    np.testing.assert_array_equal(again.climatology, world.climatology)


@pytest.mark.slow
def test_other_seed_other_weather_same_climate(world: NatureRun) -> None:
    other = run_nature(2, [0])
    assert rms_height(other.states[0], world.states[0]) > SPREAD_M2_S2
    assert rms_height(other.climatology, world.climatology) < 0.15 * SPREAD_M2_S2


@pytest.mark.slow
def test_spread_about_the_climatology_is_the_documented_one(world: NatureRun) -> None:
    spread = np.sqrt((rms_height(world.states, world.climatology) ** 2).mean())
    assert spread == pytest.approx(SPREAD_M2_S2, rel=0.15)


@pytest.mark.slow
def test_climatology_is_westerly_in_both_hemispheres_alike(world: NatureRun) -> None:
    np.testing.assert_array_equal(world.climatology, symmetric_part(world.climatology))
    eastward = GRID.wind(world.climatology)[0][:, 0]
    np.testing.assert_allclose(eastward, eastward[::-1], atol=1e-9)
    assert 20 < eastward.max() < 40
    assert abs(abs(np.linspace(90, -90, 61)[eastward.argmax()]) - 45) <= 6


@pytest.mark.slow
def test_winds_are_those_of_the_middle_troposphere(world: NatureRun) -> None:
    eastward, northward = GRID.wind(world.states)
    assert 40 < np.hypot(eastward, northward).max() < 100


@pytest.mark.slow
def test_persistence_fades_into_twice_the_variance_of_climate(world: NatureRun) -> None:
    """Errors of persistence: about 600 m2/s2 (61 gpm) a day, past climatology's within two, then sqrt(2) of it."""
    day = rms_height(world.states[0], world.states[24 // STEP_H])
    climate = rms_height(world.climatology, world.states).mean()
    late = rms_height(world.states[0], world.states[144 // STEP_H :]).mean()
    assert 0.35 * climate < day < 0.85 * climate
    assert late > climate


@pytest.mark.slow
def test_batches_of_hours_do_not_change_the_truth(world: NatureRun) -> None:
    direct = trajectory(nature_model(), world.states[0], [48])
    np.testing.assert_array_equal(direct[0], world.states[48 // STEP_H])


@pytest.mark.parametrize("hours", [[], [12, 6], [6, 6], [-6, 0]])
def test_hours_must_ascend(hours: list[int]) -> None:
    with pytest.raises(BadHours, match="ascend"):
        trajectory(nature_model(21), np.zeros((22, 22), np.complex128), hours)
