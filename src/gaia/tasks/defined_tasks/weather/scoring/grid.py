"""Latitude-longitude grids as scoring sees them: exact cell-area weights, and no comparing of unlike grids.

Owns the geometry. Never aligns, interpolates, flips or crops a field: grids that differ raise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from gaia.contracts.errors import ValidatorFault
from gaia.tasks.defined_tasks.weather.scoring.area_weighting import AreaWeighting

_SNAP_DEGREES = 1e-4
"""Coordinates stored as float32 are up to 1.6e-5 degrees off; no grid in use has cells this small."""

_FINEST_FRACTION = 1024
"""Of a degree, in which a nominal coordinate is looked for."""


class GridMismatch(ValidatorFault):
    """Fields that should be compared lie on different points.

    A forecast's grid is fixed by the run specification and refused at the freeze, so that here it is never
    the miner.
    """


class BadGrid(ValidatorFault):
    """Coordinates do not describe a latitude-longitude grid."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """The points of a field: `latitude` (nlat,) and `longitude` (nlon,), degrees, float64, nominal."""

    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]

    @staticmethod
    def of(latitude: NDArray[Any], longitude: NDArray[Any]) -> Grid:
        """The nominal grid behind stored coordinates, which may be float32 and run in either direction.

        A row of equidistant coordinates is rebuilt in float64 from its ends and count, so that a pole stored
        as 89.99999 still is the pole. Raises BadGrid for coordinates that are not finite, strictly monotonic
        and on Earth.
        """
        return Grid(latitude=_nominal(latitude, "latitude", 90.0), longitude=_nominal(longitude, "longitude", 540.0))

    @property
    def shape(self) -> tuple[int, int]:
        """(latitudes, longitudes)."""
        return self.latitude.size, self.longitude.size

    def require_same(self, other: Grid, what: str) -> None:
        """Raise GridMismatch, naming `what` has the other grid, unless both have the same points in order.

        Longitudes compare modulo 360, for -90 and 270 degrees east are one meridian.
        """
        if self.shape != other.shape:
            raise GridMismatch(f"{what} has {_size(other)} points, expected {_size(self)}; regrid it first")
        turn = (other.longitude - self.longitude + 180.0) % 360.0 - 180.0
        for axis, gap, here in (
            ("latitude", other.latitude - self.latitude, self.latitude),
            ("longitude", turn, self.longitude),
        ):
            worst = int(np.argmax(np.abs(gap)))
            if abs(gap[worst]) > _SNAP_DEGREES:
                raise GridMismatch(
                    f"{axis} {worst} of {what} is {here[worst] + gap[worst]:g} degrees, expected "
                    f"{here[worst]:g}; nothing is flipped, rolled or interpolated here"
                )

    def area_weights(self, weighting: AreaWeighting = AreaWeighting.CELL) -> NDArray[np.float64]:
        """The area of each row as a share of the whole grid's: float64 (nlat,), sums to 1.

        A point of row j has `area_weights[j] / nlon`. A single row has 1.
        Source: cell areas as WeatherBench 2 (Rasp et al. 2024), doi:10.1029/2023MS004019, section 2.2.
        Raises BadGrid where the points of a row stand for unequal areas: uneven longitudes, or one meridian twice.
        """
        longitude_edges(self.longitude)
        match weighting:
            case AreaWeighting.CELL:
                area = _band_areas(self.latitude)
            case AreaWeighting.COSINE:
                area = np.clip(np.cos(np.deg2rad(self.latitude)), 0.0, None)
                # cos(pi/2) is 6e-17 in float64: the pole's row has no area, and a lone pole still needs its
                # weight.
                area[np.abs(self.latitude) == 90.0] = 0.0 if area.size > 1 else 1.0
            case _:
                assert_never(weighting)
        return np.asarray(area / area.sum(), dtype=np.float64)


def require_weights(area_weights: NDArray[np.float64], shape: tuple[int, ...]) -> None:
    """Raise unless these weigh the rows or the points of a field of this shape: GridMismatch, BadGrid."""
    if area_weights.shape not in {shape[:1], shape}:
        raise GridMismatch(f"{_times(area_weights.shape)} area weights for {_times(shape)} points")
    if area_weights.dtype != np.float64 or not (area_weights >= 0.0).all() or not np.isfinite(area_weights).all():
        raise BadGrid(f"area weights must be float64, finite and not negative, got {area_weights.dtype}")


def point_weights(area_weights: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """What each point of a field weighs, (nlat, nlon): rows' weights are shared evenly by their points."""
    require_weights(area_weights, shape)
    if area_weights.ndim == 2:
        return np.ascontiguousarray(area_weights)
    return np.ascontiguousarray(np.broadcast_to((area_weights / shape[1])[:, None], shape))


def latitude_edges(latitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the rows' cells meet, degrees (nlat + 1,): half-way between rows, outermost as far outward as inward.

    Never past a pole; to the pole if no further row would fit, so that a Gaussian grid fills the sphere.
    Raises BadGrid for a single row: it has no width.
    """
    if latitude.size == 1:
        raise BadGrid("a single latitude has no cell; a grid needs two rows for that")
    middle = (latitude[1:] + latitude[:-1]) / 2
    first, last = _outer_edge(latitude[0], latitude[1]), _outer_edge(latitude[-1], latitude[-2])
    return np.concatenate([[first], middle, [last]])


def _outer_edge(outermost: np.float64, next_inward: np.float64) -> float:
    step = float(outermost - next_inward)
    return math.copysign(90.0, step) if abs(outermost + step) > 90.0 else float(outermost) + step / 2


def longitude_edges(longitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the columns' cells meet, degrees (nlon + 1,), equally wide. A single column is the whole circle.

    Raises BadGrid for uneven longitudes and for more than one circle of them.
    """
    count = longitude.size
    step = (longitude[-1] - longitude[0]) / (count - 1) if count > 1 else 360.0
    edges: NDArray[np.float64] = longitude[0] + step * (np.arange(count + 1) - 0.5)
    if np.abs((edges[1:] + edges[:-1]) / 2 - longitude).max() > _SNAP_DEGREES:
        raise BadGrid("longitudes must be evenly spaced: the points of a row would stand for unequal areas")
    if abs(step) * count > 360.0 + count * _SNAP_DEGREES:
        raise BadGrid(
            f"{count} longitudes {abs(step):g} degrees apart go round more than once, from {longitude[0]:g} to "
            f"{longitude[-1]:g}: leave out the meridian that is there twice"
        )
    return edges


def _band_areas(latitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area of the band around each row, up to a factor."""
    if latitude.size == 1:
        return np.ones(1)
    bands: NDArray[np.float64] = np.abs(np.diff(np.sin(np.deg2rad(latitude_edges(latitude)))))
    return bands


def _nominal(stored: NDArray[Any], axis: str, limit: float) -> NDArray[np.float64]:
    """Equidistant coordinates in float64; others (a Gaussian grid's) as they are."""
    values = np.asarray(stored, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise BadGrid(f"{axis} must be a row of finite degrees, got shape {values.shape}")
    if np.abs(values).max() > limit + _SNAP_DEGREES:
        raise BadGrid(f"{axis} reaches {values[np.abs(values).argmax()]:g} degrees")
    step = np.diff(values)
    if not ((step > 0).all() or (step < 0).all()):
        raise BadGrid(f"{axis} must rise or fall strictly")
    regular = np.linspace(_tidy(values[0], axis), _tidy(values[-1], axis), values.size)
    return regular if np.abs(regular - values).max() <= _SNAP_DEGREES else values


def _size(grid: Grid) -> str:
    return _times(grid.shape)


def _tidy(stored: np.float64, axis: str) -> float:
    """The simplest fraction of degrees that float32 rounds to `stored`; next to a pole, the pole.

    Grids are made of fractions (1/4, 1/3, 45/64), which decimals cannot all express.
    """
    if axis == "latitude" and abs(abs(stored) - 90.0) <= _SNAP_DEGREES:
        return math.copysign(90.0, stored)
    value = float(stored)
    off = 0.51 * float(np.spacing(np.float32(abs(value))))
    simple = (round(value * parts) / parts for parts in range(1, _FINEST_FRACTION + 1))
    return next((fraction for fraction in simple if abs(fraction - value) <= off), value)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
