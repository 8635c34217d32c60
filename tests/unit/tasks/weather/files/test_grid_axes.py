"""Nominal grids from rounded coordinates."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaia.protocol.run_spec import GridSpec
from gaia.tasks.defined_tasks.weather.files.errors import IrregularGrid
from gaia.tasks.defined_tasks.weather.files.grid_axes import coordinates, grid_of, snap_ends

# resolutions in use: 0.1 (IFS), 0.25 (GFS, ERA5), 1/12, 0.28125 (N640 regular), 0.75, 1, 1.125, 1.5, 2.5, 2.8125, 3
RESOLUTIONS = st.sampled_from(
    [Fraction(n) for n in ("1/10", "1/4", "1/12", "9/32", "3/4", "1", "9/8", "3/2", "5/2", "45/16", "3", "5", "30")]
)


@given(degrees=RESOLUTIONS, southward=st.booleans(), offset=st.integers(0, 3))
@pytest.mark.slow
def test_float32_rounding_of_any_usual_grid_is_undone(degrees: Fraction, southward: bool, offset: int) -> None:
    rows, columns = int(180 / degrees) + 1, int(360 / degrees)
    sign = -1 if southward else 1
    exact_latitude = [float(-sign * (90 - degrees * i)) for i in range(rows)]
    exact_longitude = [float(-180 + offset * degrees + degrees * i) for i in range(columns)]

    grid = grid_of(np.array(exact_latitude, dtype=np.float32), np.array(exact_longitude, dtype=np.float32))

    latitude, longitude = coordinates(grid)
    assert grid.shape == (rows, columns)
    np.testing.assert_allclose(latitude, exact_latitude, rtol=0, atol=1e-12)
    np.testing.assert_allclose(longitude, exact_longitude, rtol=0, atol=1e-12)


@given(first=st.decimals(-89, 0, places=2), step=st.decimals("0.05", 5, places=2), count=st.integers(2, 18))
def test_regional_grid_survives_the_way_through_a_file(first: object, step: object, count: int) -> None:
    grid = GridSpec(
        latitude_first=float(str(first)),
        latitude_step=float(str(step)),
        latitude_count=count,
        longitude_first=float(str(first)),
        longitude_step=float(str(step)),
        longitude_count=count,
    )
    latitude, longitude = coordinates(grid)
    assert grid_of(latitude, longitude) == grid
    assert grid_of(latitude.astype(np.float32), longitude.astype(np.float32)) == grid


def test_tenth_of_a_degree_in_float32_becomes_exactly_a_tenth() -> None:
    grid = grid_of(np.arange(900, -901, -1, dtype=np.float32) / np.float32(10), np.array([0.1], dtype=np.float32))
    assert grid.latitude_step == -0.1
    assert grid.longitude_first == 0.1
    assert coordinates(grid)[0][897] == 0.3


def test_thirds_of_a_degree_are_kept_as_thirds() -> None:
    thirds = np.round(np.arange(1080) / 3, 3)  # as GRIB 1 stores them: millidegrees
    assert snap_ends(thirds[0], thirds[-1], 1080, 5e-4) == (0.0, 1 / 3)


def test_single_point_keeps_its_decimals() -> None:
    grid = grid_of(np.array(51.4775, dtype=np.float32), np.array(-0.0014))
    assert (grid.latitude_first, grid.longitude_first) == (51.4775, -0.0014)
    assert (grid.latitude_step, grid.longitude_step, grid.shape) == (0.0, 0.0, (1, 1))


def test_gaussian_latitudes_are_refused_with_the_place() -> None:
    gaussian = np.degrees(np.arcsin(np.polynomial.legendre.leggauss(64)[0]))
    with pytest.raises(IrregularGrid, match=r"latitude is not evenly spaced: -87\.86.* is followed by -85\.09"):
        grid_of(gaussian, np.arange(128) * 2.8125)


def test_one_shifted_longitude_is_refused() -> None:
    longitude = np.arange(36, dtype=np.float64) * 10
    longitude[17] += 1e-3
    with pytest.raises(IrregularGrid, match=r"longitude is not evenly spaced.*index 1[78]"):
        grid_of(np.array([0.0]), longitude)


@pytest.mark.parametrize(
    ("latitude", "longitude", "cause"),
    [
        ([0.0, 91.0], [0.0], "beyond the poles"),
        ([91.0], [0.0], "beyond the poles"),
        ([0.0], [0.0, 180.0, 360.0], "more than once"),
        ([0.0, float("nan")], [0.0], "not a finite"),
        ([], [0.0], "list of numbers"),
        ([5.0, 5.0], [0.0], "not evenly spaced"),
        (["north"], [0.0], "list of numbers"),
        ([[0.0]], [0.0], "list of numbers"),
    ],
)
def test_what_is_no_grid_on_the_sphere_is_refused(latitude: list[object], longitude: list[float], cause: str) -> None:
    with pytest.raises(IrregularGrid, match=cause):
        grid_of(np.array(latitude), np.array(longitude))


def test_southward_and_westward_grids_keep_their_direction() -> None:
    grid = grid_of(np.array([10.0, 0.0, -10.0]), np.array([30.0, 20.0, 10.0]))
    assert (grid.latitude_step, grid.longitude_step) == (-10.0, -10.0)
