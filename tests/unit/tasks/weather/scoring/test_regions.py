"""Regions: their areas by closed formula, their bounds, and that points outside are not looked at."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaia.tasks.defined_tasks.weather.scoring.grid import BadGrid, Grid, GridMismatch
from gaia.tasks.defined_tasks.weather.scoring.metrics import metrics_of
from gaia.tasks.defined_tasks.weather.scoring.moments import BadField, Moments, NonFiniteForecast, field_moments
from gaia.tasks.defined_tasks.weather.scoring.regions import (
    REGIONS,
    BadRegion,
    Box,
    Region,
    Surface,
    region,
    region_weights,
)


def _grid(degrees: float, *, rows: int | None = None, start: float = 0.0, south_first: bool = False) -> Grid:
    count = rows or round(180 / degrees) + 1
    edge = 90.0 if count % 2 else 90.0 - degrees / 2
    latitude = np.linspace(edge, -edge, count)
    return Grid.of(latitude[::-1] if south_first else latitude, start + np.arange(round(360 / degrees)) * degrees)


def _share(weights: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    return math.fsum(weights.ravel())


def _sine(degrees: float) -> float:
    return math.sin(math.radians(degrees))


@pytest.mark.parametrize(
    ("degrees", "rows", "last_edge"),
    # The last row inside 20 degrees, and where its cell ends.
    [
        (0.25, 721, 20.125),
        (0.25, 720, 20.0),
        (1.0, None, 20.5),
        (1.5, None, 20.25),
        (3.0, None, 19.5),
        (10.0, None, 25),
    ],
)
@pytest.mark.parametrize("start", [0.0, -180.0])
@pytest.mark.parametrize("south_first", [False, True])
def test_the_tropics_have_the_area_of_their_cells(
    degrees: float, rows: int | None, last_edge: float, start: float, *, south_first: bool
) -> None:
    grid = _grid(degrees, rows=rows, start=start, south_first=south_first)
    weights = region_weights(grid, region("tropics"))
    assert weights.ndim == 1  # whole rows keep the fast kernel
    assert _share(weights) == pytest.approx(_sine(last_edge), rel=1e-13)


@pytest.mark.parametrize("degrees", [0.25, 1.0, 1.5, 3.0, 10.0])
def test_the_globe_is_one_and_needs_rows_only(degrees: float) -> None:
    weights = region_weights(_grid(degrees))
    assert np.array_equal(weights, _grid(degrees).area_weights())


@pytest.mark.parametrize("degrees", [1.5, 3.0])
def test_tropics_and_extratropics_add_up_to_the_globe(degrees: float) -> None:
    parts = [region_weights(_grid(degrees), region(f"{name}")) for name in ("tropics", "extratropics")]
    assert np.array_equal(parts[0] + parts[1], _grid(degrees).area_weights())


def test_a_row_on_20_degrees_belongs_to_both_sides() -> None:
    grid = _grid(10.0)
    inside = [region_weights(grid, region(name)) > 0 for name in ("tropics", "extratropics-north")]
    assert grid.latitude[inside[0] & inside[1]].tolist() == [20.0]


@pytest.mark.parametrize("start", [0.0, -180.0])
@pytest.mark.parametrize("south_first", [False, True])
def test_a_box_across_the_date_line(start: float, *, south_first: bool) -> None:
    grid = _grid(10.0, start=start, south_first=south_first)
    box = Region(name="pacific", boxes=(Box(south=-10, north=30, west=160, east=-150),))
    weights = region_weights(grid, box)
    rows, columns = np.nonzero(weights)
    assert sorted(set(grid.longitude[columns] % 360)) == [160, 170, 180, 190, 200, 210]
    assert sorted(set(grid.latitude[rows])) == [-10, 0, 10, 20, 30]
    # Six of 36 columns; cells from 15 S to 35 N.
    assert _share(weights) == pytest.approx(6 / 36 * (_sine(35) + _sine(15)) / 2, rel=1e-13)


@pytest.mark.parametrize(
    ("west", "east", "columns"),
    [(350, 10, 3), (-10, 10, 3), (0, 360, 36), (-180, 180, 36), (20, 20, 1), (0, 350, 36), (5, 9, 0), (360, 0, 1)],
)
def test_longitudes_run_eastward_modulo_360(west: float, east: float, columns: int) -> None:
    assert Box(west=west, east=east).columns(_grid(10.0).longitude).sum() == columns


def test_two_boxes_that_overlap_count_once() -> None:
    boxes = (Box(west=0, east=100), Box(west=50, east=140))
    once = region_weights(_grid(10.0), Region(name="one", boxes=(Box(west=0, east=140),)))
    assert np.array_equal(region_weights(_grid(10.0), Region(name="two", boxes=boxes)), once)


def test_every_named_region_has_points_on_every_usual_grid() -> None:
    for degrees in (1.0, 1.5, 3.0, 10.0):
        for name in REGIONS:
            assert region_weights(_grid(degrees), region(name)).any()


def test_land_and_sea_share_a_coastal_point() -> None:
    grid = Grid.of(np.array([10.0, 0.0]), np.array([0.0, 10.0]))
    land = np.array([[1.0, 0.25], [0.0, 0.0]], dtype=np.float32)
    half = grid.area_weights() / 2
    on_land = region_weights(grid, surface=Surface.LAND, land_fraction=land)
    at_sea = region_weights(grid, surface=Surface.SEA, land_fraction=land)
    assert on_land == pytest.approx(np.array([[1.0, 0.25], [0, 0]]) * half[:, None], rel=1e-15)
    assert on_land + at_sea == pytest.approx(np.repeat(half[:, None], 2, axis=1), rel=1e-15)


@pytest.mark.parametrize("bad", [math.nan, 1.5, -0.1])
def test_a_mask_that_is_no_fraction_is_refused(bad: float) -> None:
    grid = _grid(90.0)
    land = np.zeros(grid.shape, dtype=np.float32)
    land[0, 0] = bad
    with pytest.raises(BadRegion, match="fraction of land, 0 to 1, everywhere"):
        region_weights(grid, surface=Surface.LAND, land_fraction=land)


def test_what_cannot_be_a_region_is_refused() -> None:
    grid = _grid(10.0)
    with pytest.raises(BadRegion, match="unknown region 'europa'; known are global, tropics"):
        region("europa")
    with pytest.raises(BadRegion, match="south <= north"):
        Box(south=10, north=-10)
    with pytest.raises(BadRegion, match="south <= north"):
        Box(west=math.nan)
    with pytest.raises(BadRegion, match="no point in the region 'hole'"):
        region_weights(grid, Region(name="hole", boxes=(Box(south=1, north=2),)))
    with pytest.raises(BadRegion, match="needs a land-sea mask"):
        region_weights(grid, surface=Surface.SEA)
    with pytest.raises(GridMismatch):
        region_weights(grid, surface=Surface.SEA, land_fraction=np.zeros((2, 2), dtype=np.float32))
    with pytest.raises(BadField):
        region_weights(grid, surface=Surface.SEA, land_fraction=np.zeros(grid.shape))  # type: ignore[arg-type]
    with pytest.raises(BadRegion, match=r"no point in the region 'global' \(land surface\)"):
        region_weights(grid, surface=Surface.LAND, land_fraction=np.zeros(grid.shape, dtype=np.float32))


def _error_inside(weights: np.ndarray[tuple[int, ...], np.dtype[np.float64]], grid: Grid) -> Moments:
    """A truth of 0 and a forecast of 2 where the region is; elsewhere no number at all."""
    outside = np.broadcast_to((weights if weights.ndim == 2 else weights[:, None]) == 0.0, grid.shape)
    forecast = np.where(outside, np.float32(np.nan), np.float32(2.0))
    return field_moments(forecast=forecast, truth=np.zeros(grid.shape, dtype=np.float32), area_weights=weights)


@pytest.mark.parametrize("name", ["tropics", "europe"])
def test_points_outside_a_region_are_not_looked_at(name: str) -> None:
    grid = _grid(3.0)
    weights = region_weights(grid, region(name))
    sums = _error_inside(weights, grid)
    assert sums.area == pytest.approx(_share(weights), rel=1e-13)
    metrics = metrics_of(sums)
    assert (metrics.rmse, metrics.coverage) == pytest.approx((2.0, 1.0), rel=1e-14)


@pytest.mark.parametrize("name", ["tropics", "europe"])
def test_a_gap_inside_a_region_is_seen(name: str) -> None:
    grid = _grid(3.0)
    weights = region_weights(grid, region(name))
    forecast = np.full(grid.shape, np.nan, dtype=np.float32)
    with pytest.raises(NonFiniteForecast):
        field_moments(forecast=forecast, truth=np.zeros_like(forecast), area_weights=weights)


def test_weights_that_are_none_are_refused() -> None:
    one = np.ones((2, 2), dtype=np.float32)
    for bad in (np.array([1.0, -1.0]), np.array([math.nan, 1.0]), np.full((2, 2), math.inf), np.array([True, False])):
        with pytest.raises(BadGrid, match="must be float64, finite and not negative"):
            field_moments(forecast=one, truth=one, area_weights=bad)


@given(seed=st.integers(0, 2**32 - 1), south=st.integers(-80, 70), west=st.integers(-180, 180), gaps=st.booleans())
def test_a_box_and_the_rest_add_up_to_the_globe(seed: int, south: int, west: int, *, gaps: bool) -> None:
    grid = _grid(10.0)
    random = np.random.default_rng(seed)
    forecast, truth, climatology, reference = random.normal(250, 10, (4, *grid.shape)).astype(np.float32)
    if gaps:
        truth[random.random(grid.shape) < 0.1] = np.nan
    box = Region(name="box", boxes=(Box(south=south, north=south + 20, west=west, east=west + 90),))
    inside = region_weights(grid, box)
    whole_weights = grid.area_weights()
    rest = np.where(inside > 0, 0.0, (whole_weights / 36)[:, None])

    def sums(weights: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Moments:
        return field_moments(
            forecast=forecast, truth=truth, climatology=climatology, reference=reference, area_weights=weights
        )

    merged, whole = sums(inside) + sums(rest), sums(whole_weights)
    for name in Moments.__struct_fields__:
        if name != "truth_eddy_variation":  # its rows are cut
            assert getattr(merged, name) == pytest.approx(getattr(whole, name), rel=1e-11, abs=1e-11), name
