"""Parts of the globe by name or by box, by land or sea: area weights that any statistic takes.

Owns what belongs to a region. Never crops a field: points outside weigh nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import assert_never

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gaia.contracts.errors import ConfigurationError
from gaia.tasks.defined_tasks.weather.scoring.area_weighting import AreaWeighting
from gaia.tasks.defined_tasks.weather.scoring.field import Field, require_alike
from gaia.tasks.defined_tasks.weather.scoring.grid import Grid, point_weights

_ON_THE_EDGE_DEGREES = 1e-6
"""So close to a bound a point counts as on it: 20.000000000000004 is 20."""


class BadRegion(ConfigurationError):
    """A region cannot be: its bounds contradict themselves, or the grid has no point in it."""


class Surface(StrEnum):
    """Which part of the points counts, by the land-sea mask."""

    ANY = "any"
    LAND = "land"
    SEA = "sea"


class Box(Struct, frozen=True, kw_only=True):
    """A latitude-longitude box, bounds included. From `west` eastward to `east`, which may cross the date line.

    Degrees; longitudes modulo 360. A box 360 or more wide is the whole circle; `west == east` is one meridian.
    """

    south: float = -90.0
    north: float = 90.0
    west: float = 0.0
    east: float = 360.0

    def __post_init__(self) -> None:
        bounds = (self.south, self.north, self.west, self.east)
        if not np.isfinite(bounds).all() or not -90.0 <= self.south <= self.north <= 90.0:
            raise BadRegion(f"a box must have -90 <= south <= north <= 90, got {self.south:g} to {self.north:g}")

    def rows(self, latitude: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which latitudes lie inside, (nlat,)."""
        low, high = self.south - _ON_THE_EDGE_DEGREES, self.north + _ON_THE_EDGE_DEGREES
        return (latitude >= low) & (latitude <= high)

    def columns(self, longitude: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which longitudes lie inside, (nlon,)."""
        width = self.east - self.west
        if width >= 360.0:
            return np.ones(longitude.shape, dtype=np.bool_)
        eastward = (longitude - self.west + _ON_THE_EDGE_DEGREES) % 360.0
        inside: NDArray[np.bool_] = eastward <= width % 360.0 + 2 * _ON_THE_EDGE_DEGREES
        return inside


class Region(Struct, frozen=True, kw_only=True):
    """One or more boxes under a name. A point in two of them counts once."""

    name: str
    boxes: tuple[Box, ...] = (Box(),)


GLOBE = Region(name="global")
TROPICS = Region(name="tropics", boxes=(Box(south=-20.0, north=20.0),))
NORTH = Region(name="extratropics-north", boxes=(Box(south=20.0),))
SOUTH = Region(name="extratropics-south", boxes=(Box(north=-20.0),))

REGIONS: Mapping[str, Region] = MappingProxyType(
    {
        region.name: region
        for region in (
            GLOBE,
            TROPICS,
            NORTH,
            SOUTH,
            Region(name="extratropics", boxes=(*NORTH.boxes, *SOUTH.boxes)),
            Region(name="europe", boxes=(Box(south=35.0, north=75.0, west=-12.5, east=42.5),)),
            Region(name="north-america", boxes=(Box(south=25.0, north=60.0, west=-120.0, east=-75.0),)),
            Region(name="north-atlantic", boxes=(Box(south=25.0, north=65.0, west=-70.0, east=-10.0),)),
            Region(name="north-pacific", boxes=(Box(south=25.0, north=60.0, west=145.0, east=-130.0),)),
            Region(name="east-asia", boxes=(Box(south=25.0, north=60.0, west=102.5, east=150.0),)),
            Region(name="australia", boxes=(Box(south=-45.0, north=-12.5, west=120.0, east=175.0),)),
            Region(name="arctic", boxes=(Box(south=60.0),)),
            Region(name="antarctic", boxes=(Box(north=-60.0),)),
        )
    }
)
"""Bounds of WeatherBench 2 (scripts/evaluate.py of google-research/weatherbench2), which are those of ECMWF's
scorecards for tropics and extratropics. Rows on 20 degrees belong to both, as there."""


def region(name: str) -> Region:
    """The region called `name`; raises BadRegion.

    >>> region("tropics").boxes[0].north
    20.0
    """
    if name not in REGIONS:
        raise BadRegion(f"unknown region {name!r}; known are {', '.join(REGIONS)}")
    return REGIONS[name]


def region_weights(
    grid: Grid,
    region: Region = GLOBE,
    *,
    weighting: AreaWeighting = AreaWeighting.CELL,
    land_fraction: Field | None = None,
    surface: Surface = Surface.ANY,
) -> NDArray[np.float64]:
    """What rows (nlat,) or points (nlat, nlon) of `grid` weigh in `region`; outside 0. Rows where that is enough.

    Weights are shares of the whole grid, so that disjoint regions add up to it; metrics divide by their sum. A
    point belongs to a region with its whole cell if its centre does. land_fraction: float32 (nlat, nlon), 0 to
    1, needed for `surface` land or sea: a point on the coast counts by its share, as in WeatherBench 2.
    Raises BadRegion if nothing remains.
    """
    rows = grid.area_weights(weighting)
    inside = [(box.rows(grid.latitude), box.columns(grid.longitude)) for box in region.boxes]
    if all(columns.all() for _, columns in inside):
        weights = np.where(np.any([band for band, _ in inside], axis=0), rows, 0.0)
    else:
        mask = np.any([band[:, None] & columns for band, columns in inside], axis=0)
        weights = point_weights(rows, grid.shape) * mask
    if surface is not Surface.ANY:
        weights = point_weights(weights, grid.shape) * _surface_share(surface, land_fraction, grid)
    if not weights.any():
        raise BadRegion(f"the grid has no point in the region {region.name!r} ({surface.value} surface)")
    return weights


def _surface_share(surface: Surface, land_fraction: Field | None, grid: Grid) -> NDArray[np.float64]:
    if land_fraction is None:
        raise BadRegion(f"surface {surface.value!r} needs a land-sea mask: give land_fraction")
    require_alike({"land_fraction": land_fraction}, grid.shape)
    land = land_fraction.astype(np.float64)
    if not ((land >= 0.0) & (land <= 1.0)).all():
        raise BadRegion("a land-sea mask must be the fraction of land, 0 to 1, everywhere")
    match surface:
        case Surface.LAND | Surface.ANY:
            return land
        case Surface.SEA:
            return 1.0 - land
        case _:
            assert_never(surface)
