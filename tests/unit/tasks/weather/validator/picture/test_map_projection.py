"""Equal Earth against PROJ's figures and against what defines it: equal areas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaia.tasks.defined_tasks.weather.validator.picture.map_projection import equal_earth, frame_of

AUTHALIC_RADIUS_M = 6_371_007.1809
"""Of WGS 84; at equator and poles, authalic and geodetic latitude are the same."""


@pytest.mark.parametrize(
    ("latitude", "longitude", "x_m", "y_m"),
    [(0, -180, -17_243_959.06, 0.0), (-90, -180, -10_216_474.79, -8_392_927.60), (90, 0, 0.0, 8_392_927.60)],
)
def test_edges_of_the_map_are_those_of_proj(latitude: float, longitude: float, x_m: float, y_m: float) -> None:
    """EPSG:8857 as PROJ's cs2cs gives it."""
    x, y = equal_earth(latitude, longitude)
    assert float(x) * AUTHALIC_RADIUS_M == pytest.approx(x_m, abs=0.01)
    assert float(y) * AUTHALIC_RADIUS_M == pytest.approx(y_m, abs=0.01)


@given(st.floats(-89.0, 89.0), st.floats(-180.0, 180.0))
def test_small_areas_keep_their_size(latitude: float, longitude: float) -> None:
    """x is linear in longitude and y depends on latitude only, so the map's area element is their product."""
    step = 1e-3
    width = equal_earth(latitude, longitude + step)[0] - equal_earth(latitude, longitude - step)[0]
    height = equal_earth(latitude + step, longitude)[1] - equal_earth(latitude - step, longitude)[1]
    on_sphere = np.radians(2 * step) ** 2 * np.cos(np.radians(latitude))
    assert float(width * height) == pytest.approx(float(on_sphere), rel=1e-5)


def test_global_grid_closes_at_the_date_line() -> None:
    frame = frame_of(np.array([45.0, -45.0]), np.arange(0.0, 360.0, 60.0))
    assert frame.is_global
    assert frame.central_longitude == 0.0
    assert frame.longitude.tolist() == [-180.0, -120.0, -60.0, 0.0, 60.0, 120.0, 180.0]
    assert frame.order.tolist() == [3, 4, 5, 0, 1, 2, 3]
    x, y = frame.coordinates()
    assert x.shape == y.shape == (2, 7)
    assert x[0, 0] == -x[0, -1]


def test_region_lies_about_its_own_middle_even_across_greenwich() -> None:
    frame = frame_of(np.array([60.0, 50.0]), np.array([350.0, 355.0, 360.0, 365.0, 370.0]))
    assert not frame.is_global
    assert frame.central_longitude == 360.0
    assert frame.longitude.tolist() == [-10.0, -5.0, 0.0, 5.0, 10.0]


def test_westward_grid_is_turned_round() -> None:
    frame = frame_of(np.array([60.0, 50.0]), np.array([20.0, 10.0, 0.0]))
    assert frame.longitude.tolist() == [-10.0, 0.0, 10.0]
    assert frame.order.tolist() == [2, 1, 0]
