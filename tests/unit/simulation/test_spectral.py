"""Spherical harmonics against closed forms, the addition theorem and hand-calculated derivatives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaia.simulation.spectral import (
    EARTH_RADIUS_M,
    GaussianGrid,
    LatLonGrid,
    UnresolvedGrid,
    gaussian_grid,
    laplacian_eigenvalues,
    legendre,
    power_by_degree,
    with_truncation,
)
from tests.unit.simulation.random_fields import random_coefficients

SEEDS = st.integers(0, 2**32 - 1)
THREE_DEGREES = (np.linspace(90.0, -90.0, 61), np.linspace(0.0, 357.0, 120))


def on_sphere(grid: GaussianGrid) -> tuple[np.ndarray, np.ndarray]:
    """(mu, longitude in radians), broadcastable to the grid."""
    return grid.mu[:, None], np.deg2rad(grid.longitude_deg)[None, :]


def test_first_functions_are_the_closed_forms() -> None:
    mu = np.linspace(-1.0, 1.0, 11)
    cosine = np.sqrt(1 - mu**2)
    value, derivative = legendre(3, mu)
    np.testing.assert_allclose(value[0, :, 0], 1.0)
    np.testing.assert_allclose(value[0, :, 1], np.sqrt(3) * mu, atol=1e-14)
    np.testing.assert_allclose(value[1, :, 1], np.sqrt(3 / 2) * cosine, atol=1e-14)
    np.testing.assert_allclose(value[0, :, 2], np.sqrt(5) / 2 * (3 * mu**2 - 1), atol=1e-14)
    np.testing.assert_allclose(value[1, :, 2], np.sqrt(15 / 2) * mu * cosine, atol=1e-14)
    np.testing.assert_allclose(value[2, :, 2], np.sqrt(15 / 8) * cosine**2, atol=1e-14)
    np.testing.assert_allclose(derivative[0, :, 1], np.sqrt(3) * cosine**2, atol=1e-14)
    np.testing.assert_allclose(derivative[0, :, 2], np.sqrt(5) * 3 * mu * cosine**2, atol=1e-13)
    np.testing.assert_allclose(derivative[2, :, 2], -np.sqrt(15 / 2) * mu * cosine**2, atol=1e-14)


@settings(max_examples=30, deadline=None)
@given(st.floats(-1.0, 1.0))
def test_functions_obey_the_addition_theorem_everywhere(mu: float) -> None:
    """sum over m of |Y_n^m|^2 is 2 n + 1 at every point: the recurrence loses nothing up to T127."""
    value, _ = legendre(127, np.array([mu]))
    total = value[0, 0] ** 2 + 2 * (value[1:, 0] ** 2).sum(axis=0)
    np.testing.assert_allclose(total, 2 * np.arange(128) + 1, rtol=1e-10)


def test_functions_are_orthonormal_under_the_quadrature() -> None:
    grid = gaussian_grid(42)
    gram = (grid.legendre * grid.area_weight[:, None]).transpose(0, 2, 1) @ grid.legendre
    for m in range(43):
        np.testing.assert_allclose(gram[m, m:, m:], np.eye(43 - m), atol=1e-12)


def test_t42_takes_the_usual_grid() -> None:
    grid = gaussian_grid(42)
    assert grid.shape == (64, 128)
    assert grid.latitude_deg[0] == pytest.approx(87.8638, abs=1e-4)  # ECMWF's table of the N32 grid
    assert grid.longitude_deg[1] == 2.8125


def test_known_field_has_its_one_coefficient() -> None:
    grid = gaussian_grid(10)
    mu, longitude = on_sphere(grid)
    coefficients = grid.to_spectral(np.sqrt(1 - mu**2) * np.cos(longitude))
    expected = np.zeros((11, 11), np.complex128)
    expected[1, 1] = 0.5 / np.sqrt(3 / 2)  # cos(longitude) is half of exp(i longitude) and its conjugate
    np.testing.assert_allclose(coefficients, expected, atol=1e-14)


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.sampled_from([5, 21, 42]))
def test_fields_survive_the_way_to_the_grid_and_back(seed: int, truncation: int) -> None:
    coefficients = random_coefficients(truncation, seed, count=2)
    grid = gaussian_grid(truncation)
    np.testing.assert_allclose(grid.to_spectral(grid.to_grid(coefficients)), coefficients, atol=1e-12)


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_power_of_all_degrees_is_the_mean_square(seed: int) -> None:
    grid = gaussian_grid(21)
    coefficients = random_coefficients(21, seed)[0]
    mean_square = float(((grid.to_grid(coefficients) ** 2).mean(axis=1) * grid.area_weight).sum())
    assert power_by_degree(coefficients).sum() == pytest.approx(mean_square)


def test_laplacian_of_mu_squared_is_the_hand_calculated_one() -> None:
    grid = gaussian_grid(8)
    mu, _ = on_sphere(grid)
    field = np.broadcast_to(mu**2, grid.shape)
    laplacian = grid.to_grid(grid.to_spectral(field) * laplacian_eigenvalues(8))
    np.testing.assert_allclose(laplacian * EARTH_RADIUS_M**2, np.broadcast_to(2 - 6 * mu**2, grid.shape), atol=1e-12)


def test_jacobian_with_mu_is_the_zonal_derivative() -> None:
    """J(psi, mu) = (d psi / d longitude) / a^2, for mu does not vary along a parallel."""
    grid = gaussian_grid(12)
    mu, longitude = on_sphere(grid)
    psi = (1 - mu**2) * mu * np.sin(2 * longitude)
    jacobian = grid.jacobian(
        grid.to_spectral(psi)[None], grid.to_spectral(np.broadcast_to(mu, grid.shape).copy())[None]
    )
    expected = 2 * (1 - mu**2) * mu * np.cos(2 * longitude)
    np.testing.assert_allclose(grid.to_grid(jacobian)[0] * EARTH_RADIUS_M**2, expected, atol=1e-12)


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_jacobian_is_antisymmetric_and_orthogonal_to_both(seed: int) -> None:
    grid = gaussian_grid(21)
    a, b = random_coefficients(21, seed, count=2)[:, None]
    jacobian = grid.jacobian(a, b)
    size = np.abs(jacobian).max()
    np.testing.assert_allclose(grid.jacobian(b, a), -jacobian, atol=1e-12 * size)
    for field in (a, b):
        both = (field.conj() * jacobian).real[0]
        assert abs(both[0].sum() + 2 * both[1:].sum()) < 1e-11 * size


def test_truncation_cuts_and_pads() -> None:
    field = random_coefficients(10, 1)[0]
    assert with_truncation(field, 4).shape == (5, 5)
    np.testing.assert_array_equal(with_truncation(field, 4), field[:5, :5])
    np.testing.assert_array_equal(with_truncation(with_truncation(field, 20), 10), field)


@settings(max_examples=5, deadline=None)
@given(SEEDS)
def test_least_squares_finds_a_resolved_field_on_a_regular_grid(seed: int) -> None:
    coefficients = random_coefficients(43, seed)
    grid = LatLonGrid(*THREE_DEGREES, 43)
    np.testing.assert_allclose(grid.to_spectral(grid.to_grid(coefficients)), coefficients, atol=1e-10)


def test_both_kinds_of_grid_agree_where_they_meet() -> None:
    coefficients = random_coefficients(21, 3)[0]
    gaussian = gaussian_grid(21)
    other = LatLonGrid(gaussian.latitude_deg, gaussian.longitude_deg, 21)
    np.testing.assert_allclose(other.to_grid(coefficients), gaussian.to_grid(coefficients), atol=1e-11)


@pytest.mark.parametrize(
    "longitude_deg", [np.arange(120) * 3.0 - 180.0, -np.arange(120) * 3.0, np.arange(120) * 3.0 + 1.5]
)
def test_circles_may_start_anywhere_and_run_either_way(longitude_deg: np.ndarray) -> None:
    coefficients = random_coefficients(21, 4)[0]
    grid = LatLonGrid(THREE_DEGREES[0], longitude_deg, 21)
    np.testing.assert_allclose(grid.to_spectral(grid.to_grid(coefficients)), coefficients, atol=1e-11)


def test_flow_across_the_pole_is_finite_there_and_right() -> None:
    """psi = a U cos(latitude) cos(longitude): u = U sin(latitude) cos(longitude), v = -U sin(longitude)."""
    coefficients = np.zeros((6, 6), np.complex128)
    coefficients[1, 1] = 10.0 * EARTH_RADIUS_M * 0.5 / np.sqrt(3 / 2)
    grid = LatLonGrid(*THREE_DEGREES, 5)
    eastward, northward = grid.wind(coefficients)
    latitude, longitude = np.deg2rad(THREE_DEGREES[0])[:, None], np.deg2rad(THREE_DEGREES[1])[None, :]
    np.testing.assert_allclose(eastward, 10.0 * np.sin(latitude) * np.cos(longitude), atol=1e-4)
    np.testing.assert_allclose(northward, np.broadcast_to(-10.0 * np.sin(longitude), grid.shape), atol=1e-4)


def test_solid_rotation_blows_as_the_cosine_of_latitude() -> None:
    coefficients = np.zeros((6, 6), np.complex128)
    coefficients[0, 1] = -EARTH_RADIUS_M * 20.0 / np.sqrt(3)
    eastward, northward = LatLonGrid(*THREE_DEGREES, 5).wind(coefficients)
    expected = 20.0 * np.cos(np.deg2rad(THREE_DEGREES[0]))[:, None]
    np.testing.assert_allclose(eastward, np.broadcast_to(expected, eastward.shape), atol=1e-4)
    np.testing.assert_allclose(northward, 0.0, atol=1e-12)


@pytest.mark.parametrize("truncation", [60, 75])
def test_too_coarse_a_grid_is_refused(truncation: int) -> None:
    grid = LatLonGrid(*THREE_DEGREES, truncation)
    with pytest.raises(UnresolvedGrid, match="finer grid"):
        grid.to_spectral(np.zeros((61, 120)))


def test_part_of_a_circle_is_refused() -> None:
    with pytest.raises(UnresolvedGrid, match="whole circle"):
        LatLonGrid(THREE_DEGREES[0], np.linspace(0.0, 297.0, 100), 10)
