"""Between the coordinates that files hold and the exact grid that they stand for.

Files round coordinates to float32, GRIB to milli- or microdegrees. A regular axis is snapped to the nominal
numbers that its maker meant (0.1f becomes 0.1), so that grids compare with `==` and area weights are exact in
float64. An axis that is not regular is refused; nothing is ever interpolated here.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaia.protocol.run_spec import GridSpec
from gaia.tasks.defined_tasks.weather.files.errors import IrregularGrid

_FLOAT64_TOLERANCE = 1e-10
"""Degrees (0.01 mm): what a few roundings in float64 leave behind."""
_PLAIN_DECIMALS = 4
"""Up to so many decimals a number is taken as a decimal, past them as the simplest fraction: 1/3, 9/64."""
_COORDINATE_DECIMALS = 12


@lru_cache(maxsize=16)
def coordinates(grid: GridSpec) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latitudes (nlat,) and longitudes (nlon,) of a grid, degrees, float64, not to be written to.

    Rounded to 1e-12, so that the fourth point of a 0.1 degree grid from 0 is 0.3.
    """
    latitude = _axis(grid.latitude_first, grid.latitude_step, grid.latitude_count)
    longitude = _axis(grid.longitude_first, grid.longitude_step, grid.longitude_count)
    latitude.flags.writeable = longitude.flags.writeable = False
    return latitude, longitude


def grid_of(latitude: NDArray[Any], longitude: NDArray[Any]) -> GridSpec:
    """The exact grid that 1-d or scalar coordinates in degrees stand for; raises IrregularGrid.

    A single latitude or longitude has step 0.
    """
    latitude_first, latitude_step = _snap_array(latitude, "latitude")
    longitude_first, longitude_step = _snap_array(longitude, "longitude")
    if (
        not -90.0 <= latitude_first <= 90.0
        or not abs(latitude_first + latitude_step * (latitude.size - 1)) <= 90.000001
    ):
        raise IrregularGrid(f"latitudes run from {latitude.flat[0]} to {latitude.flat[-1]}, beyond the poles")
    if abs(longitude_step) * (longitude.size - 1) >= 360.0 - _FLOAT64_TOLERANCE:
        raise IrregularGrid(
            f"longitudes go round the sphere more than once: {longitude.flat[0]} to {longitude.flat[-1]}"
        )
    return GridSpec(
        latitude_first=latitude_first,
        latitude_step=latitude_step,
        latitude_count=latitude.size,
        longitude_first=longitude_first,
        longitude_step=longitude_step,
        longitude_count=longitude.size,
    )


def snap_ends(first: float, last: float, count: int, tolerance: float) -> tuple[float, float]:
    """Nominal (first, step) of a regular axis whose ends are known to within `tolerance` degrees.

    >>> snap_ends(0.0, 359.9, 3600, 5e-4)
    (0.0, 0.1)
    """
    nominal_first = _nominal(first, tolerance)
    if count == 1:
        return nominal_first, 0.0
    return nominal_first, _nominal((last - first) / (count - 1), 2 * tolerance / (count - 1))


def _snap_array(values: NDArray[Any], axis: str) -> tuple[float, float]:
    if values.ndim > 1 or values.size == 0 or values.dtype.kind not in "fiu":
        raise IrregularGrid(f"{axis} must be a list of numbers, got {values.dtype} of shape {values.shape}")
    flat = values.reshape(-1).astype(np.float64)
    if not np.isfinite(flat).all():
        raise IrregularGrid(f"{axis}[{int(np.argmin(np.isfinite(flat)))}] is not a finite number")
    single = bool((flat == flat.astype(np.float32)).all())
    if flat.size == 1:
        return float(str(np.float32(flat[0]))) if single else float(flat[0]), 0.0
    float32_tolerance = float(np.spacing(np.float32(np.abs(flat).max())))
    for tolerance in (float32_tolerance,) if single else (_FLOAT64_TOLERANCE, float32_tolerance):
        first, step = snap_ends(float(flat[0]), float(flat[-1]), flat.size, tolerance)
        off = np.abs(_axis(first, step, flat.size) - flat) > 2 * tolerance
        if step != 0.0 and not off.any():
            return first, step
    place = int(np.argmax(np.abs(np.diff(flat) - (flat[-1] - flat[0]) / (flat.size - 1)))) + 1
    raise IrregularGrid(
        f"{axis} is not evenly spaced: {flat[place - 1]:.6g} is followed by {flat[place]:.6g} at index "
        f"{place}, from {flat[0]:.6g} to {flat[-1]:.6g} in {flat.size} points"
    )


def _axis(first: float, step: float, count: int) -> NDArray[np.float64]:
    values: NDArray[np.float64] = np.round(first + step * np.arange(count, dtype=np.float64), _COORDINATE_DECIMALS)
    return values + 0.0  # -0.0 becomes 0.0


def _nominal(value: float, tolerance: float) -> float:
    """The number that was meant: a short decimal if one is near enough, else the simplest fraction."""
    for decimals in range(_PLAIN_DECIMALS + 1):
        candidate = round(value, decimals)
        if abs(candidate - value) <= tolerance:
            return candidate + 0.0
    return float(_simplest_fraction(Fraction(value) - Fraction(tolerance), Fraction(value) + Fraction(tolerance)))


def _simplest_fraction(low: Fraction, high: Fraction) -> Fraction:
    """The fraction of smallest denominator in [low, high], by continued fractions (Stern-Brocot tree).

    >>> _simplest_fraction(Fraction(33, 100), Fraction(34, 100))
    Fraction(1, 3)
    """
    if low <= 0 <= high:
        return Fraction(0)
    if high < 0:
        return -_simplest_fraction(-high, -low)
    whole = math.floor(low)
    if whole == low:
        return low
    if whole + 1 <= high:
        return Fraction(whole + 1)
    return whole + 1 / _simplest_fraction(1 / (high - whole), 1 / (low - whole))
