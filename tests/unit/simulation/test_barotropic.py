"""The vorticity equation against exact Rossby-Haurwitz waves and its conservation laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaia.simulation.barotropic import BarotropicModel, Dynamics, UnstableForecast, planetary_vorticity
from gaia.simulation.spectral import (
    EARTH_RADIUS_M,
    EARTH_ROTATION_PER_S,
    Coefficients,
    gaussian_grid,
    laplacian_eigenvalues,
    power_by_degree,
)
from tests.unit.simulation.random_fields import random_coefficients

INVISCID = Dynamics(truncation=21, diffusion_h=None, step_s=1800.0)


def turbulent(truncation: int, seed: int, count: int = 1) -> Coefficients:
    """Streamfunctions with winds of some 20 m/s."""
    return 4e6 * random_coefficients(truncation, seed, count)


def energy_and_enstrophy(streamfunction: Coefficients) -> tuple[float, float]:
    """Global means, J kg-1 and s-2, from the definition: half of |grad psi|^2, half of the squared vorticity."""
    eigenvalues = laplacian_eigenvalues(streamfunction.shape[-1] - 1)
    power = power_by_degree(streamfunction)
    return float(-0.5 * (power * eigenvalues).sum()), float(0.5 * (power * eigenvalues**2).sum())


def test_planetary_vorticity_is_twice_omega_at_the_pole() -> None:
    grid = gaussian_grid(5)
    np.testing.assert_allclose(grid.to_grid(planetary_vorticity(5))[:, 0], 2 * EARTH_ROTATION_PER_S * grid.mu)


@settings(max_examples=12, deadline=None)
@given(
    st.integers(1, 12).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n))),
    st.sampled_from([None, 2.0e6, 5.0e6]),
    st.floats(-2e-6, 4e-6),
)
@pytest.mark.slow
def test_rossby_haurwitz_wave_moves_at_its_analytic_speed(
    order: tuple[int, int], helmholtz_length_m: float | None, rotation_per_s: float
) -> None:
    """A wave of one degree n on solid rotation omega keeps its shape (Haurwitz 1940; Thompson 1982) and turns with
    [omega (n (n + 1) - 2) - 2 Omega] / (n (n + 1) + a^2 / L^2) radians a second.
    """
    m, n = order
    state = np.zeros((22, 22), np.complex128)
    state[0, 1] = -(EARTH_RADIUS_M**2) * rotation_per_s / np.sqrt(3.0)
    state[m, n] += 3e6
    divergence = 0.0 if helmholtz_length_m is None else (EARTH_RADIUS_M / helmholtz_length_m) ** 2
    numerator = rotation_per_s * (n * (n + 1) - 2) - 2 * EARTH_ROTATION_PER_S
    angular_speed = numerator / (n * (n + 1) + divergence)

    dynamics = Dynamics(truncation=21, helmholtz_length_m=helmholtz_length_m, diffusion_h=None, step_s=1200.0)
    later = BarotropicModel(dynamics).advance(state, 86_400.0)

    expected = state.copy()
    expected[m, n] *= np.exp(-1j * m * angular_speed * 86_400.0)
    np.testing.assert_allclose(later, expected, atol=3e6 * 2e-4)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_advection_neither_makes_nor_destroys_energy_or_enstrophy(seed: int) -> None:
    state = turbulent(21, seed)
    rate = BarotropicModel(INVISCID).tendency(state)
    eigenvalues = laplacian_eigenvalues(21)
    for power in (1, 2):
        exchange = (state.conj() * rate * eigenvalues**power).real[0]
        net = exchange[0].sum() + 2 * exchange[1:].sum()
        assert abs(net) < 1e-10 * np.abs(exchange).sum()


def test_energy_and_enstrophy_stay_over_five_inviscid_days() -> None:
    state = 2.5 * turbulent(21, 5)[0]
    before = energy_and_enstrophy(state)
    after = energy_and_enstrophy(BarotropicModel(INVISCID).advance(state, 5 * 86_400.0))
    assert before[0] > 50.0  # a flow worth conserving: 10 m/s and more
    np.testing.assert_allclose(after, before, rtol=1e-3)


def test_diffusion_takes_a_fraction_one_over_e_off_the_limb_in_its_time() -> None:
    state = np.zeros((43, 43), np.complex128)
    state[5, 42] = 1e4
    later = BarotropicModel(Dynamics(truncation=42, diffusion_h=12.0)).advance(state, 12 * 3600.0)
    assert abs(later[5, 42]) == pytest.approx(1e4 / math.e, rel=1e-6)


def test_diffusion_acts_alike_on_a_wave_at_every_truncation() -> None:
    def left(truncation: int) -> float:
        state = np.zeros((truncation + 1, truncation + 1), np.complex128)
        state[3, 20] = 1e4
        return float(abs(BarotropicModel(Dynamics(truncation=truncation)).advance(state, 86_400.0)[3, 20]))

    assert left(21) == pytest.approx(left(42), rel=1e-9)


def test_batch_advances_as_its_members_do() -> None:
    states = turbulent(21, 6, count=3)
    model = BarotropicModel(Dynamics(truncation=21))
    together = model.advance(states, 6 * 3600.0)
    apart = np.stack([model.advance(state, 6 * 3600.0) for state in states])
    np.testing.assert_allclose(together, apart, rtol=1e-9, atol=1e-3)


def test_a_forecast_in_two_pieces_is_the_forecast_in_one() -> None:
    state = turbulent(21, 7)[0]
    model = BarotropicModel(Dynamics(truncation=21))
    pieces = model.advance(model.advance(state, 6 * 3600.0), 6 * 3600.0)
    np.testing.assert_array_equal(pieces, model.advance(state, 12 * 3600.0))


def test_no_time_changes_nothing() -> None:
    state = turbulent(21, 8)[0]
    np.testing.assert_array_equal(BarotropicModel(Dynamics(truncation=21)).advance(state, 0.0), state)


def test_a_blow_up_is_reported_not_returned() -> None:
    with pytest.raises(UnstableForecast, match="shorten step_s"):
        BarotropicModel(Dynamics(truncation=21)).advance(1e4 * turbulent(21, 9)[0], 5 * 86_400.0)
