"""The linear balance against its differential form and a hand calculation."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gaia.simulation.balance import linear_balance
from gaia.simulation.spectral import (
    EARTH_RADIUS_M,
    EARTH_ROTATION_PER_S,
    gaussian_grid,
    laplacian_eigenvalues,
    with_truncation,
)
from tests.unit.simulation.random_fields import random_coefficients


def test_solid_rotation_stands_under_a_parabola() -> None:
    """u = omega a cos: f u = -(1/a) d phi / d latitude integrates to phi = -Omega omega a^2 (mu^2 - 1/3)."""
    omega = 3e-6
    state = np.zeros((6, 6), np.complex128)
    state[0, 1] = -(EARTH_RADIUS_M**2) * omega / np.sqrt(3.0)
    grid = gaussian_grid(6)
    chart = grid.to_grid(linear_balance(5).geopotential(state))[:, 0]
    expected = -EARTH_ROTATION_PER_S * omega * EARTH_RADIUS_M**2 * (grid.mu**2 - 1 / 3)
    np.testing.assert_allclose(chart, expected, atol=1e-9 * np.abs(expected).max())


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_balance_fulfils_its_differential_equation(seed: int) -> None:
    """lap phi = f lap psi + grad f . grad psi, evaluated on a grid."""
    state = with_truncation(random_coefficients(20, seed)[0], 21)
    geopotential = linear_balance(20).geopotential(state[:21, :21])
    grid = gaussian_grid(21)
    f = 2 * EARTH_ROTATION_PER_S * grid.mu[:, None]
    eigenvalues = laplacian_eigenvalues(21)
    slope = np.einsum("mjn,mn->jm", grid.legendre_derivative, state)  # (1 - mu^2) d psi / d mu
    gradient = np.fft.irfft(slope, n=grid.shape[1], axis=-1, norm="forward")
    right = f * grid.to_grid(state * eigenvalues) + 2 * EARTH_ROTATION_PER_S * gradient / EARTH_RADIUS_M**2
    left = grid.to_grid(geopotential * eigenvalues)
    np.testing.assert_allclose(left, right, atol=1e-10 * np.abs(right).max())


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_flow_is_recovered_from_its_own_geopotential(seed: int) -> None:
    state = random_coefficients(42, seed)
    balance = linear_balance(42)
    np.testing.assert_allclose(balance.streamfunction(balance.geopotential(state), 1e-12), state, atol=1e-6)


def test_regularisation_spares_the_tropics_the_wind_that_noise_would_make() -> None:
    noise = random_coefficients(43, 11)[0]
    balance, grid = linear_balance(42), gaussian_grid(42)
    tropics = np.abs(grid.latitude_deg) < 10
    amplitude = [
        np.abs(grid.to_grid(balance.streamfunction(noise, regularisation))[tropics]).max()
        for regularisation in (1e-4, 1e-2, 1e-1)
    ]
    assert amplitude[0] > 1.5 * amplitude[1] > 1.5**2 * amplitude[2]
