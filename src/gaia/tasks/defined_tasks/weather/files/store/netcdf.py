"""NetCDF as a source: a truth with a time axis, or a climatology by calendar month.

A monthly mean stands for every instant of its month; nothing is interpolated between months.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import netCDF4
import numpy as np

from gaia.tasks.defined_tasks.weather.files.errors import MissingField, UnusableStore
from gaia.tasks.defined_tasks.weather.files.inventory import Inventory
from gaia.tasks.defined_tasks.weather.files.netcdf_size import refuse_cut_netcdf
from gaia.tasks.defined_tasks.weather.files.store.xarray_store import TIME_NAMES, XarrayStore

_MONTH = "month"


def inventory(path: Path) -> Inventory:
    """What the file holds as truth. Raises UnusableStore, IrregularGrid."""
    axis, times = _times(path)
    store = XarrayStore(path, at={axis: 0})
    return Inventory(times=tuple(sorted(times)), fields=store.fields(), grid=store.grid)


def open_truth(path: Path, valid_time: datetime) -> XarrayStore:
    """The fields of one instant; raises MissingField where the file does not hold it."""
    axis, times = _times(path)
    if valid_time not in times:
        there = ", ".join(t.isoformat() for t in times[:20])
        raise MissingField(f"{path} has nothing valid at {valid_time.isoformat()}; its times are {there}")
    return XarrayStore(path, at={axis: times.index(valid_time)})


def open_climatology(path: Path, valid_time: datetime) -> XarrayStore:
    """The monthly mean of the month of `valid_time`; raises MissingField for a month that is not there."""
    with _open(path) as dataset:
        if _MONTH not in dataset.variables:
            raise UnusableStore(f"{path} has no axis {_MONTH!r} of calendar months; it has {_names(dataset)}")
        months = [int(m) for m in np.atleast_1d(dataset.variables[_MONTH][:])]
    month = valid_time.astimezone(UTC).month
    if month not in months:
        raise MissingField(f"{path} has no month {month}; it has {', '.join(str(m) for m in months)}")
    return XarrayStore(path, at={_MONTH: months.index(month)})


def _times(path: Path) -> tuple[str, list[datetime]]:
    """The time axis and its instants, in the file's order."""
    with _open(path) as dataset:
        axis = next((name for name in TIME_NAMES if name in dataset.variables), None)
        if axis is None:
            raise UnusableStore(f"{path} has no time axis ({', '.join(TIME_NAMES)}); it has {_names(dataset)}")
        variable = dataset.variables[axis]
        try:
            dates = netCDF4.num2date(
                np.atleast_1d(variable[:]),
                variable.getncattr("units"),
                getattr(variable, "calendar", "standard"),
                only_use_python_datetimes=True,
                only_use_cftime_datetimes=False,
            )
        except (AttributeError, ValueError) as error:
            raise UnusableStore(f"{path}: times of {axis!r} are not understood: {error}") from None
        return axis, [date.replace(tzinfo=UTC) for date in np.atleast_1d(np.asarray(dates))]


def _open(path: Path) -> netCDF4.Dataset:
    try:
        refuse_cut_netcdf(path)
        return netCDF4.Dataset(path)
    except OSError as error:
        raise UnusableStore(f"{path} cannot be read as NetCDF: {error.strerror or error}") from error


def _names(dataset: netCDF4.Dataset) -> str:
    return ", ".join(dataset.variables) or "nothing"
