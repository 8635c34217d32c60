"""Grids are matched by the values of their coordinates, and never interpolated."""

from __future__ import annotations

import numpy as np
import pytest

from gaia.tasks.defined_tasks.weather.files.series.same_points import points_of
from gaia.tasks.defined_tasks.weather.scoring.grid import Grid, GridMismatch

LATITUDE = np.array([60.0, 0.0, -60.0])
LONGITUDE = np.array([0.0, 90.0, 180.0, 270.0])
WANTED = Grid.of(LATITUDE, LONGITUDE)
FIELD = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_the_same_grid_is_read_as_it_is() -> None:
    points = points_of(WANTED, WANTED, "the truth")
    assert points.change is None
    assert points.of(FIELD) is FIELD


def test_reversed_latitudes_and_rolled_longitudes_are_put_in_order() -> None:
    there = Grid.of(LATITUDE[::-1], np.array([-180.0, -90.0, 0.0, 90.0]))
    points = points_of(there, WANTED, "the truth")
    assert points.change == "its latitudes and longitudes are read in the forecast's order"
    np.testing.assert_array_equal(points.of(np.roll(FIELD, 2, axis=1)[::-1]), FIELD)


def test_another_grid_raises_and_names_both() -> None:
    there = Grid.of(np.array([60.0, 10.0, -60.0]), LONGITUDE)
    with pytest.raises(GridMismatch, match=r"the truth x lies on 3 x 4 points.*expected 3 x 4 points.*--grid"):
        points_of(there, WANTED, "the truth x")


def test_points_of_a_finer_grid_are_taken_only_on_request() -> None:
    there = Grid.of(np.linspace(90.0, -90.0, 7), np.arange(8) * 45.0)
    with pytest.raises(GridMismatch, match="7 x 8 points"):
        points_of(there, WANTED, "the climatology")
    points = points_of(there, WANTED, "the climatology", pick=True)
    assert points.change == "3 x 4 of its 7 x 8 points are taken"
    np.testing.assert_array_equal(points.of(np.arange(56, dtype=np.float32).reshape(7, 8))[0], [8, 10, 12, 14])


def test_a_longitude_just_below_360_is_0() -> None:
    there = Grid(latitude=LATITUDE, longitude=np.array([359.99999, 90.0, 180.0, 270.0]))
    assert points_of(there, WANTED, "the truth").change is None
