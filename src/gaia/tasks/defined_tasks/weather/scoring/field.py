"""What scoring takes for a field, and what it refuses: wrong type, wrong shape, no numbers, another quantity or time.

Owns the checks and their errors. Never converts, fills or aligns: what differs raises, saying what was expected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from msgspec import Struct
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


class UnlikeFields(ValidatorFault):
    """Fields that should be compared are of different quantities, units, levels or valid times."""


class FieldLabel(Struct, frozen=True, kw_only=True):
    """What an array of numbers is: the part of a field that the numbers do not show.

    `valid_time` is timezone-aware; None for what holds at any time, such as a land-sea mask.
    """

    variable: str
    unit: str
    level_hpa: int | None = None
    valid_time: datetime | None = None

    def require_same(self, other: FieldLabel, what: str) -> None:
        """Raise UnlikeFields, naming the first difference, unless `what` with the label `other` may be compared."""
        for name in self.__struct_fields__:
            here, there = getattr(self, name), getattr(other, name)
            if here != there:
                raise UnlikeFields(
                    f"{name.replace('_', ' ')} of {what} is {_shown(there)}, expected {_shown(here)}; "
                    "nothing is converted or shifted here"
                )


def require_levels(levels_hpa: Sequence[int], expected_hpa: Sequence[int], what: str) -> None:
    """Raise UnlikeFields unless `what` has the expected pressure levels in the expected order.

    >>> require_levels([500, 850], [500, 850], "the forecast")
    """
    here, there = [list(map(int, levels)) for levels in (expected_hpa, levels_hpa)]
    if there == here:
        return
    if there == here[::-1]:
        hint = "the same levels in reverse order: select them by value"
    else:
        missing = sorted(set(here) - set(there))
        hint = f"missing are {missing}" if missing else "in another order, or more than these"
    raise UnlikeFields(f"levels of {what} are {there} hPa, expected {here} hPa: {hint}")


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


def _shown(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else repr(value)
