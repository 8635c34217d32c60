"""How files call their axes, and what the values of those axes mean.

Owns names and units of axes, nothing else. Must never guess: an axis whose values are not understood is refused by
name. Pure: arrays and attributes in, plain values out.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from gaia.tasks.defined_tasks.weather.files.errors import UnclearAxis, UnusableStore
from gaia.tasks.defined_tasks.weather.files.source_units import factor_to_hpa
from gaia.tasks.defined_tasks.weather.files.store.xarray_store import LATITUDE_NAMES, LEVEL_NAMES, LONGITUDE_NAMES


class Axis(StrEnum):
    """What an axis counts."""

    LATITUDE = "latitude"
    LONGITUDE = "longitude"
    LEVEL = "level"
    LEAD = "lead time"
    INIT = "initial time"
    VALID = "valid time"
    TIME = "time"
    """Initial time where there is a lead axis, valid time where there is none."""
    MEMBER = "ensemble member"
    MONTH = "month"
    DAY = "day of the year"
    HOUR = "hour"


NAMES: Mapping[Axis, tuple[str, ...]] = {
    Axis.LATITUDE: LATITUDE_NAMES,
    Axis.LONGITUDE: LONGITUDE_NAMES,
    Axis.LEVEL: LEVEL_NAMES,
    Axis.LEAD: ("prediction_timedelta", "lead_time", "lead", "step", "forecast_period", "leadtime"),
    Axis.INIT: ("init_time", "initial_time", "forecast_reference_time", "reference_time", "base_time"),
    Axis.VALID: ("valid_time",),
    Axis.TIME: ("time",),
    Axis.MEMBER: ("number", "member", "realization", "ensemble", "ensemble_member", "sample"),
    Axis.MONTH: ("month",),
    Axis.DAY: ("dayofyear", "day_of_year", "doy"),
    Axis.HOUR: ("hour", "hour_of_day"),
}
_BY_NAME = {name: axis for axis, names in NAMES.items() for name in names}
_BY_STANDARD_NAME = {
    "latitude": Axis.LATITUDE,
    "longitude": Axis.LONGITUDE,
    "air_pressure": Axis.LEVEL,
    "forecast_period": Axis.LEAD,
    "forecast_reference_time": Axis.INIT,
    "realization": Axis.MEMBER,
}
_SECONDS = {
    **dict.fromkeys(("hours", "hour", "hrs", "hr", "h"), 3600.0),
    **dict.fromkeys(("days", "day", "d"), 86400.0),
    **dict.fromkeys(("minutes", "minute", "min"), 60.0),
    **dict.fromkeys(("seconds", "second", "sec", "s"), 1.0),
    **{"milliseconds": 1e-3, "microseconds": 1e-6, "nanoseconds": 1e-9},
}


def axis_of(name: str, attributes: Mapping[str, Any]) -> Axis | None:
    """What the axis `name` counts: by its name, else by its CF standard_name. None: not known.

    >>> axis_of("prediction_timedelta", {})
    <Axis.LEAD: 'lead time'>
    >>> axis_of("y", {"standard_name": "latitude"})
    <Axis.LATITUDE: 'latitude'>
    """
    return _BY_NAME.get(name) or _BY_STANDARD_NAME.get(str(attributes.get("standard_name")))


def leads(values: NDArray[Any], unit: str | None, where: str) -> tuple[timedelta, ...]:
    """Lead times, from timedeltas or from numbers in `unit`; numbers without a unit are hours.

    >>> leads(np.array([6, 240]), "hours", "fc.nc") == (timedelta(hours=6), timedelta(days=10))
    True
    """
    flat = np.atleast_1d(values)
    if flat.dtype.kind == "m":
        return _spans(flat / np.timedelta64(1, "s"), where)
    scale = _SECONDS.get((unit or "hours").strip().lower())
    if flat.dtype.kind not in "fiu" or scale is None:
        raise UnclearAxis(
            f"{where}: lead times of type {flat.dtype} in unit {unit!r} are not understood; timedeltas, or numbers "
            "with units such as hours or days, are"
        )
    return _spans(flat.astype(np.float64) * scale, where)


def _spans(seconds: NDArray[np.float64], where: str) -> tuple[timedelta, ...]:
    if not (np.isfinite(seconds).all() and (np.abs(seconds) < timedelta.max.total_seconds()).all()):
        raise UnclearAxis(f"{where}: a lead time is missing (NaT), or beyond all bounds")
    if (seconds < 0.0).any():
        raise UnclearAxis(f"{where}: a lead time of {seconds.min() / 3600:g} h lies before the start of the forecast")
    return tuple(timedelta(seconds=float(each)) for each in seconds)


def times(values: NDArray[Any], attributes: Mapping[str, Any], where: str) -> tuple[datetime, ...]:
    """Instants in UTC, from datetime64 or from numbers with CF units such as `hours since 1959-01-01`."""
    flat = np.atleast_1d(values)
    if flat.dtype.kind == "M":
        if np.isnat(flat).any():
            raise UnclearAxis(f"{where}: a time is missing (NaT)")
        return tuple(moment.replace(tzinfo=UTC) for moment in flat.astype("datetime64[us]").tolist())
    unit = attributes.get("units")
    if flat.dtype.kind not in "fiu" or not unit:
        raise UnclearAxis(
            f"{where}: times of type {flat.dtype} with units {unit!r} are not understood; datetimes, or numbers "
            "with units such as 'hours since 1959-01-01', are"
        )
    if not np.isfinite(flat).all() or (flat.dtype == np.int64 and (flat == np.iinfo(np.int64).min).any()):
        raise UnclearAxis(f"{where}: a time is missing (NaT)")
    calendar = str(attributes.get("calendar", "standard"))
    try:
        dates = netCDF4.num2date(
            flat,
            str(unit),
            calendar,
            only_use_python_datetimes=True,
            only_use_cftime_datetimes=False,
        )
    except (ValueError, OverflowError) as error:
        raise UnclearAxis(f"{where}: times in {unit!r}, calendar {calendar}, are not understood: {error}") from None
    return tuple(date.replace(tzinfo=UTC) for date in np.atleast_1d(np.asarray(dates)))


def levels(values: NDArray[Any], unit: str | None, name: str, where: str) -> tuple[int | None, ...]:
    """Pressures in hPa; None for those that are no whole number of hPa, which nobody asks for."""
    flat = np.atleast_1d(values)
    if flat.dtype.kind not in "fiu" or not np.isfinite(flat).all():
        raise UnclearAxis(f"{where}: levels of type {flat.dtype} are not understood; finite pressures are expected")
    try:
        factor = factor_to_hpa(unit or ("Pa" if name == "isobaricInPa" else None), float(flat.max()))
    except UnusableStore as error:
        raise UnclearAxis(f"{where}: {error}") from None
    hpa = flat.astype(np.float64) * factor
    return tuple(round(level) if abs(level - round(level)) < 1e-3 and round(level) > 0 else None for level in hpa)


def whole_numbers(values: NDArray[Any], where: str, within: range | None = None) -> tuple[int, ...]:
    """Months, days of the year, hours or member numbers, the first three as a calendar counts them.

    >>> whole_numbers(np.array([0, 6, 12, 18]), "clim.nc, axis 'hour'", range(24))
    (0, 6, 12, 18)
    """
    flat = np.atleast_1d(values)
    if flat.dtype.kind == "m":
        flat = flat / np.timedelta64(1, "h")
    if flat.dtype.kind not in "fiu" or not (np.isfinite(flat) & (flat == np.round(flat))).all():
        raise UnclearAxis(f"{where}: whole numbers are expected, got {flat.dtype}")
    numbers = tuple(int(value) for value in flat)
    if within is not None and not all(number in within for number in numbers):
        raise UnclearAxis(
            f"{where} reaches from {min(numbers)} to {max(numbers)}; {within[0]} to {within[-1]} are expected"
        )
    return numbers
