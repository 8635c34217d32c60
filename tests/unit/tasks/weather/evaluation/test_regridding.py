"""The grid of --grid."""

from __future__ import annotations

import pytest

from gaia.tasks.defined_tasks.weather.evaluation.regridding import global_grid, regridder_to
from gaia.tasks.defined_tasks.weather.files.errors import BadRequest
from gaia.tasks.defined_tasks.weather.files.series.xarray_series import XarraySeries
from tests.support.weather_files import truth


def test_one_and_a_half_degrees_is_weatherbench_grid() -> None:
    grid = global_grid(1.5)
    assert grid.shape == (121, 240)
    assert (grid.latitude[0], grid.latitude[-1], grid.longitude[-1]) == (-90.0, 90.0, 358.5)


@pytest.mark.parametrize("degrees", [0.0, -1.0, 7.0, 180.0, 1e-9, float("nan")])
def test_a_spacing_must_divide_the_globe(degrees: float) -> None:
    with pytest.raises(BadRequest, match="must divide 180"):
        global_grid(degrees)


def test_nothing_is_refined_and_a_region_is_no_globe() -> None:
    with pytest.raises(BadRequest, match="the truth an has 7 x 12 points, fewer than the 121 x 240"):
        regridder_to(global_grid(1.5), XarraySeries(truth(), "an"), "truth")
    region = truth().isel(lat=slice(0, 4))
    with pytest.raises(BadRequest, match="the truth an cannot be regridded"):
        regridder_to(global_grid(90.0), XarraySeries(region, "an"), "truth")
