"""Latitude-longitude grids: exact cell areas as weights, and the check that two fields lie on the same points.

Owns the geometry. Never aligns, interpolates, flips or crops a field: grids that differ raise an error.
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
"""Tolerance. Coordinates stored as float32 are up to 1.6e-5 degrees off, and no grid in use has cells this small."""

_FINEST_FRACTION = 1024
"""A nominal coordinate is looked for among fractions of a degree down to 1/1024."""


class GridMismatch(ValidatorFault):
    """Fields that should be compared lie on different points.

    This is never a miner's fault: a forecast on another grid than the run's is refused earlier, when it is frozen.
    """


class BadGrid(ValidatorFault):
    """Coordinates do not describe a latitude-longitude grid."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """The points of a field.

    Attributes:
        latitude: float64 `(latitude,)`, degrees north, strictly monotonic in either direction.
        longitude: float64 `(longitude,)`, degrees east, strictly monotonic in either direction.
    """

    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]

    @staticmethod
    def of(latitude: NDArray[Any], longitude: NDArray[Any]) -> Grid:
        """The grid of stored coordinates, which may be float32 and run in either direction.

        Equidistant coordinates are rebuilt in float64 from their ends and count. So a pole that is stored as 89.99999
        is the pole, and a grid has the same area weights whether it is stored in float32 or float64.

        Args:
            latitude: `(latitude,)`, degrees, -90 to 90.
            longitude: `(longitude,)`, degrees, -540 to 540.

        Raises:
            BadGrid: Coordinates are not a finite, strictly monotonic row within these bounds (validator's fault).
        """
        return Grid(latitude=_nominal(latitude, "latitude", 90.0), longitude=_nominal(longitude, "longitude", 540.0))

    @property
    def shape(self) -> tuple[int, int]:
        """(latitudes, longitudes)."""
        return self.latitude.size, self.longitude.size

    def require_same(self, other: Grid, what: str) -> None:
        """Check that another grid has the same points in the same order, within 1e-4 degrees.

        Longitudes compare modulo 360, because -90 and 270 degrees east are the same meridian.

        Args:
            other: The other grid.
            what: What lies on the other grid, for the message.

        Raises:
            GridMismatch: The points differ (validator's fault).
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
        """The area of each row as a share of the area of the whole grid.

        CELL: sin(upper edge) - sin(lower edge), with the edges of `latitude_edges`. COSINE: cos(latitude), where a row
        at the pole has 0. A point of row j has the weight `area_weights[j] / nlon`.

        Returns:
            float64 `(latitude,)`, with the sum 1. A single row has 1.

        Raises:
            BadGrid: The points of a row have unequal areas: longitudes are uneven, or one meridian is there twice
                (validator's fault).

        References:
            Cell areas as in WeatherBench 2: Rasp et al. 2024, doi:10.1029/2023MS004019, section 2.2.

        >>> import numpy as np
        >>> Grid.of(np.array([90.0, 0.0, -90.0]), np.array([0.0, 180.0])).area_weights().round(4).tolist()
        [0.1464, 0.7071, 0.1464]
        """
        longitude_edges(self.longitude)
        match weighting:
            case AreaWeighting.CELL:
                area = _band_areas(self.latitude)
            case AreaWeighting.COSINE:
                area = np.clip(np.cos(np.deg2rad(self.latitude)), 0.0, None)
                # cos(pi/2) is 6e-17 in float64, but a row at the pole must have no area. A single row needs a weight.
                area[np.abs(self.latitude) == 90.0] = 0.0 if area.size > 1 else 1.0
            case _:
                assert_never(weighting)
        return np.asarray(area / area.sum(), dtype=np.float64)


def require_weights(area_weights: NDArray[np.float64], shape: tuple[int, ...]) -> None:
    """Check that weights belong to the rows or to the points of a field of this shape.

    Raises:
        GridMismatch: The weights have another shape (validator's fault).
        BadGrid: The weights are not float64, not finite or negative (validator's fault).
    """
    if area_weights.shape not in {shape[:1], shape}:
        raise GridMismatch(f"{_times(area_weights.shape)} area weights for {_times(shape)} points")
    if area_weights.dtype != np.float64 or not (area_weights >= 0.0).all() or not np.isfinite(area_weights).all():
        raise BadGrid(f"area weights must be float64, finite and not negative, got {area_weights.dtype}")


def point_weights(area_weights: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """The weight of each point of a field. The points of a row share the row's weight evenly.

    Args:
        area_weights: float64 `(latitude,)` or `(latitude, longitude)`.
        shape: The shape of the field.

    Returns:
        float64 `(latitude, longitude)`, in C order.

    Raises:
        GridMismatch: The weights have another shape (validator's fault).
        BadGrid: The weights are not float64, not finite or negative (validator's fault).
    """
    require_weights(area_weights, shape)
    if area_weights.ndim == 2:
        return np.ascontiguousarray(area_weights)
    return np.ascontiguousarray(np.broadcast_to((area_weights / shape[1])[:, None], shape))


def latitude_edges(latitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """The latitudes at which the cells of neighbouring rows meet.

    Edges lie half-way between rows. The outermost rows reach as far outward as inward, but never past a pole. They
    reach to the pole if no further row would fit, so that a Gaussian grid fills the sphere.

    Args:
        latitude: float64 `(latitude,)`, degrees.

    Returns:
        float64 `(latitude + 1,)`, degrees.

    Raises:
        BadGrid: There is a single row, whose cell has no height (validator's fault).
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
    """The longitudes at which the cells of neighbouring columns meet. All cells are equally wide.

    Args:
        longitude: float64 `(longitude,)`, degrees.

    Returns:
        float64 `(longitude + 1,)`, degrees. A single column has the whole circle.

    Raises:
        BadGrid: Longitudes are unevenly spaced, or go around more than once (validator's fault).
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
    """The area of the band around each row, up to a common factor."""
    if latitude.size == 1:
        return np.ones(1)
    bands: NDArray[np.float64] = np.abs(np.diff(np.sin(np.deg2rad(latitude_edges(latitude)))))
    return bands


def _nominal(stored: NDArray[Any], axis: str, limit: float) -> NDArray[np.float64]:
    """Equidistant coordinates rebuilt in float64; others (those of a Gaussian grid) unchanged."""
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
    """The simplest fraction of a degree that float32 rounds to `stored`. Next to a pole it is the pole.

    Spacings of grids are fractions (1/4, 1/3, 45/64), and not all of them are finite decimals.
    """
    if axis == "latitude" and abs(abs(stored) - 90.0) <= _SNAP_DEGREES:
        return math.copysign(90.0, stored)
    value = float(stored)
    off = 0.51 * float(np.spacing(np.float32(abs(value))))
    simple = (round(value * parts) / parts for parts in range(1, _FINEST_FRACTION + 1))
    return next((fraction for fraction in simple if abs(fraction - value) <= off), value)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
