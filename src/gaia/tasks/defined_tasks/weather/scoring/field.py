"""What scoring takes for a field, and what it refuses: a wrong type, a wrong shape, values that are not numbers.

Owns the checks and their errors. Never converts, fills or aligns: what differs raises, saying what was expected.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaia.contracts.errors import MinerFault, SourceFault, ValidatorFault
from gaia.tasks.defined_tasks.weather.scoring.grid import GridMismatch

Field = NDArray[np.float32]
"""(nlat, nlon), C order."""


class NonFiniteForecast(MinerFault):
    """A forecast holds NaN or infinity at a point where the truth is finite."""


class OutsideLimits(MinerFault):
    """A forecast holds values that it must not hold, wherever they are."""


class NoFiniteTruth(SourceFault):
    """A field has not one point at which truth, climatology and reference are all finite."""


class BadField(ValidatorFault):
    """An array that should be a horizontal field is something else."""


def require_alike(arrays: Mapping[str, NDArray[Any] | None], shape: tuple[int, ...]) -> None:
    """Raise unless every array that is there is a float32 field of this shape: BadField, GridMismatch."""
    for name, array in arrays.items():
        if array is None:
            continue
        if array.dtype != np.float32 or array.ndim != len(shape) or array.size == 0:
            axes = "latitude, longitude" if len(shape) == 2 else "member, latitude, longitude"
            raise BadField(f"{name} must be float32 ({axes}), got {array.dtype} {array.shape}")
        if array.shape != shape:
            raise GridMismatch(f"{name} has shape {array.shape}, truth {shape}")


def blame_forecast(forecast: NDArray[np.float32]) -> NonFiniteForecast:
    """The error for a forecast that turned out not to be finite where it counts: how many values, and the first."""
    bad = np.argwhere(~np.isfinite(forecast))
    if bad.size == 0:
        return NonFiniteForecast("the forecast's errors are too large for a float64")
    first = tuple(bad[0].tolist())
    return NonFiniteForecast(
        "the forecast is not finite at points where the truth is: "
        f"{len(bad)} of {forecast.size} values are NaN or infinite, the first is {forecast[first]} at index {first}"
    )
