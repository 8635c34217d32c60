"""Initial errors have the asked size, the same pattern for the same seed, and no place of their own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaia.simulation.balance import linear_balance
from gaia.simulation.initial_error import BadInitialError, initial_error_field, random_anomaly
from gaia.simulation.spectral import LatLonGrid, laplacian_eigenvalues, power_by_degree

SEEDS = st.integers(0, 2**62)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.floats(1.0, 3000.0))
def test_disturbance_has_the_asked_size_on_the_chart(seed: int, size: float) -> None:
    grid = LatLonGrid(np.linspace(90.0, -90.0, 181), np.linspace(0.0, 357.0, 120), 43)
    chart = grid.to_grid(linear_balance(42).geopotential(random_anomaly((seed,), size)))
    area = np.cos(np.deg2rad(np.linspace(90, -90, 181)))
    mean_square = ((chart**2).mean(axis=1) * area).sum() / area.sum()
    assert np.sqrt(mean_square) == pytest.approx(size, rel=1e-3)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.floats(0.01, 1.0))
def test_seed_fixes_the_pattern_and_fraction_its_size(seed: int, fraction: float) -> None:
    np.testing.assert_allclose(
        initial_error_field(fraction, seed), fraction * initial_error_field(1.0, seed), rtol=1e-12, atol=1e-9
    )


def test_different_seeds_are_unrelated() -> None:
    one, other = initial_error_field(0.1, 1), initial_error_field(0.1, 2)
    overlap = abs((one.conj() * other).sum()) / (np.linalg.norm(one) * np.linalg.norm(other))
    assert overlap < 0.5


def test_energy_falls_as_the_inverse_square_of_wavenumber() -> None:
    """Mean over 200 draws: n^2 x energy is level from n = 6 to 40."""
    power = np.mean([power_by_degree(random_anomaly((seed,), 100.0)) for seed in range(200)], axis=0)
    n = np.arange(43)
    level = (-power * laplacian_eigenvalues(42) * n**2)[6:41]
    assert level[:10].mean() == pytest.approx(level[-10:].mean(), rel=0.15)
    assert power[:4].sum() == 0.0


def test_no_error_is_no_disturbance() -> None:
    assert not initial_error_field(0.0, 7).any()


@pytest.mark.parametrize("fraction", [-0.1, 11.0, float("nan")])
def test_errors_that_make_no_sense_are_refused(fraction: float) -> None:
    with pytest.raises(BadInitialError, match="of the spread"):
        initial_error_field(fraction, 1)
