"""Cell areas against closed formulas; grids that differ are refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaia.tasks.defined_tasks.weather.scoring.area_weighting import AreaWeighting
from gaia.tasks.defined_tasks.weather.scoring.grid import BadGrid, Grid, GridMismatch


def _global(degrees: float, *, dtype: type = np.float64) -> Grid:
    rows = round(180 / degrees) + 1
    return Grid.of(np.linspace(90, -90, rows).astype(dtype), (np.arange(round(360 / degrees)) * degrees).astype(dtype))


def test_three_rows_by_hand() -> None:
    # Edges at 90, 45, -45, -90 degrees; the sphere's bands have areas 1 - sin 45, 2 sin 45, 1 - sin 45 of 2.
    cap = (1 - math.sqrt(0.5)) / 2
    assert _global(90.0).area_weights() == pytest.approx([cap, math.sqrt(0.5), cap], rel=1e-15)


@pytest.mark.parametrize("degrees", [0.25, 1.0, 1.5, 3.0, 10.0])
def test_the_pole_is_a_cap_of_half_a_cell(degrees: float) -> None:
    # A cap of angle x has the share (1 - cos x) / 2 = sin2(x / 2) of the sphere.
    cap = math.sin(math.radians(degrees / 2) / 2) ** 2
    weights = _global(degrees).area_weights()
    assert weights[[0, -1]] == pytest.approx([cap, cap], rel=1e-9)
    assert math.fsum(weights) == pytest.approx(1.0, rel=1e-14)


def test_rows_between_the_poles_fill_the_sphere_without_a_row_on_the_pole() -> None:
    # 720 rows of 0.25 degrees: the first cell is a whole cap of 0.25 degrees.
    grid = Grid.of(np.linspace(89.875, -89.875, 720), np.arange(1440) * 0.25)
    assert grid.area_weights()[0] == pytest.approx(math.sin(math.radians(0.25) / 2) ** 2, rel=1e-9)


def test_a_regional_box_by_hand() -> None:
    # Rows at 30 and 60 N: cells 15..45 and 45..75.
    low = math.sin(math.radians(45)) - math.sin(math.radians(15))
    high = math.sin(math.radians(75)) - math.sin(math.radians(45))
    weights = Grid.of(np.array([30.0, 60.0]), np.array([0.0, 10.0])).area_weights()
    assert weights == pytest.approx([low / (low + high), high / (low + high)], rel=1e-14)


@pytest.mark.parametrize("latitude", [0.0, 51.477, 90.0, -90.0])
@pytest.mark.parametrize("weighting", list(AreaWeighting))
def test_a_single_point_weighs_one(latitude: float, weighting: AreaWeighting) -> None:
    assert Grid.of(np.array([latitude]), np.array([0.0])).area_weights(weighting).tolist() == [1.0]


@pytest.mark.parametrize("weighting", list(AreaWeighting))
def test_latitudes_may_run_either_way(weighting: AreaWeighting) -> None:
    south_first = Grid.of(np.linspace(-90, 90, 61), np.arange(120) * 3.0)
    assert np.array_equal(south_first.area_weights(weighting)[::-1], _global(3.0).area_weights(weighting))


@pytest.mark.parametrize("degrees", [0.1, 0.25, 0.7, 1.0 / 3.0, 1.5])
def test_coordinates_stored_as_float32_change_nothing(degrees: float) -> None:
    rows = round(180 / degrees) + 1 if degrees != 0.7 else 201
    latitude = 70.0 - degrees * np.arange(rows) if degrees == 0.7 else np.linspace(90, -90, rows)
    longitude = np.arange(4) * degrees
    exact = Grid.of(latitude, longitude).area_weights()
    stored = Grid.of(latitude.astype(np.float32), longitude.astype(np.float32)).area_weights()
    assert np.array_equal(exact, stored)


def test_cosine_weights_give_a_pole_nothing() -> None:
    assert _global(45.0).area_weights(AreaWeighting.COSINE) == pytest.approx(
        np.array([0.0, math.sqrt(0.5), 1.0, math.sqrt(0.5), 0.0]) / (1 + math.sqrt(2)), abs=1e-15
    )


def test_a_gaussian_grid_keeps_its_own_latitudes() -> None:
    roots = np.polynomial.legendre.leggauss(32)[0]
    latitude = np.rad2deg(np.arcsin(roots))
    assert np.array_equal(Grid.of(latitude, np.arange(64) * 5.625).latitude, latitude)


@given(rows=st.integers(2, 400), columns=st.integers(1, 5))
def test_cell_weights_sum_to_one_and_mirror_at_the_equator(rows: int, columns: int) -> None:
    weights = Grid.of(np.linspace(90, -90, rows), np.arange(columns) * 1.0).area_weights()
    assert math.fsum(weights) == pytest.approx(1.0, rel=1e-13)
    assert weights == pytest.approx(weights[::-1], rel=1e-9)
    assert (weights > 0).all()


def test_the_same_meridians_under_other_names_are_the_same_grid() -> None:
    latitude = np.array([10.0, 0.0])
    Grid.of(latitude, np.array([-180.0, -90.0])).require_same(
        Grid.of(latitude, np.array([180.0, 270.0], dtype=np.float32)), "the truth"
    )


@pytest.mark.parametrize(
    ("latitude", "longitude", "message"),
    [
        ([0.0, 10.0], [0.0, 90.0], "latitude 0 of the truth is 0 degrees, expected 10"),
        ([10.0, 0.0], [90.0, 180.0], "longitude 0 of the truth is 90 degrees, expected 0"),
        ([10.0, 0.5], [0.0, 90.0], "latitude 1 of the truth is 0.5 degrees, expected 0"),
        ([10.0, 0.0], [0.0, 90.0, 180.0], "the truth has 2 x 3 points, expected 2 x 2"),
    ],
)
def test_other_points_are_refused(latitude: list[float], longitude: list[float], message: str) -> None:
    grid = Grid.of(np.array([10.0, 0.0]), np.array([0.0, 90.0]))
    with pytest.raises(GridMismatch, match=message):
        grid.require_same(Grid.of(np.array(latitude), np.array(longitude)), "the truth")


@pytest.mark.parametrize(
    ("latitude", "message"),
    [
        ([], "a row of finite degrees"),
        ([[0.0, 1.0]], "a row of finite degrees"),
        ([0.0, math.nan], "a row of finite degrees"),
        ([80.0, 91.0], "latitude reaches 91 degrees"),
        ([0.0, 1.0, 0.5], "latitude must rise or fall strictly"),
        ([5.0, 5.0], "latitude must rise or fall strictly"),
    ],
)
def test_coordinates_that_are_no_grid_are_refused(latitude: list[float], message: str) -> None:
    with pytest.raises(BadGrid, match=message):
        Grid.of(np.array(latitude), np.array([0.0]))


@pytest.mark.parametrize("parts", [64, 128, 3, 12])
def test_a_grid_of_odd_fractions_is_exact_again_after_float32(parts: int) -> None:
    # Steps of 22/64 degrees and the like, which few decimals cannot express and float32 rounds.
    rows = 16
    nominal = 30.0 - (2 * np.arange(rows) + 1) * (11.0 / parts)
    stored = Grid.of(nominal.astype(np.float32), np.array([0.0]))
    assert stored.latitude == pytest.approx(nominal, abs=1e-13)


def test_a_pole_stored_a_little_off_is_the_pole() -> None:
    grid = Grid.of(np.array([89.99999, 0.0, -89.99999]), np.array([0.0]))
    assert grid.latitude[[0, -1]].tolist() == [90.0, -90.0]


def test_a_gaussian_grid_fills_the_sphere() -> None:
    # Its quadrature weights nearly are the areas of bands with half-way edges.
    roots, quadrature = np.polynomial.legendre.leggauss(32)
    weights = Grid.of(np.rad2deg(np.arcsin(roots)), np.arange(64) * 5.625).area_weights()
    assert weights == pytest.approx(quadrature / 2, rel=0.06)
    # The outermost cell ends at the pole: 1 - sin(edge) of 2.
    edge = np.rad2deg(np.arcsin(roots[-2:])).mean()
    assert weights[-1] == pytest.approx((1 - math.sin(math.radians(edge))) / 2, rel=1e-12)


def test_a_box_at_the_equator_keeps_its_outer_edges() -> None:
    # Rows at 0 and 10 N: cells -5..5 and 5..15.
    sines = [math.sin(math.radians(edge)) for edge in (-5, 5, 15)]
    weights = Grid.of(np.array([0.0, 10.0]), np.array([0.0])).area_weights()
    assert weights[0] == pytest.approx((sines[1] - sines[0]) / (sines[2] - sines[0]), rel=1e-14)


def test_longitudes_whose_cells_differ_have_no_weights() -> None:
    latitude = np.array([10.0, 0.0])
    with pytest.raises(BadGrid, match="evenly spaced"):
        Grid.of(latitude, np.array([0.0, 10.0, 30.0])).area_weights()
    with pytest.raises(BadGrid, match=r"go round more than once, from 0 to 360: leave out the meridian"):
        Grid.of(latitude, np.arange(37) * 10.0).area_weights()
