"""The axes of an xarray dataset: which dimension counts what, its grid, and every instant that it holds.

Owns the reading of coordinates. Never reads a field.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import numpy as np
import xarray as xr
from msgspec.structs import replace
from numpy.typing import NDArray

from gaia.tasks.defined_tasks.weather.files.errors import UnclearAxis
from gaia.tasks.defined_tasks.weather.files.series.axes import Axis, axis_of, leads, times, whole_numbers
from gaia.tasks.defined_tasks.weather.files.series.series import Instant
from gaia.tasks.defined_tasks.weather.files.source_units import unit_of
from gaia.tasks.defined_tasks.weather.scoring.grid import BadGrid, Grid

HORIZONTAL = (Axis.LATITUDE, Axis.LONGITUDE)
_WITHIN = {Axis.MONTH: range(1, 13), Axis.DAY: range(1, 367), Axis.HOUR: range(24)}
TEMPORAL = (Axis.LEAD, Axis.INIT, Axis.VALID, Axis.TIME, Axis.MONTH, Axis.DAY, Axis.HOUR)

_Said = tuple[Axis, Any, tuple[str, int] | None]
"""What an axis says, and where along which dimension."""


def find_axes(dataset: xr.Dataset) -> dict[str, Axis]:
    """Every dimension and coordinate of a known kind, by name."""
    names = dict.fromkeys((*dataset.sizes, *dataset.variables))
    known = {str(name): axis_of(str(name), _attributes(dataset, name)) for name in names if _may_be_axis(dataset, name)}
    return {name: axis for name, axis in known.items() if axis is not None}


def find_grid(dataset: xr.Dataset, axes: Mapping[str, Axis], name: str) -> Grid:
    """Raises UnclearAxis where latitude or longitude is missing, doubled, empty, or no row of degrees."""
    coordinates = []
    for axis in HORIZONTAL:
        found = [key for key, known in axes.items() if known is axis and key in dataset.variables]
        if len(found) != 1:
            raise UnclearAxis(
                f"{name} has {len(found)} coordinates of {axis} (latitude or lat, longitude or lon are expected); "
                f"it has {', '.join(map(str, dataset.variables)) or 'nothing at all'}"
            )
        coordinates.append(_degrees(dataset.variables[found[0]], f"{name}, axis {found[0]!r}"))
    try:
        return Grid.of(*coordinates)
    except BadGrid as error:
        raise UnclearAxis(f"{name}: {error}") from None


def find_instants(
    dataset: xr.Dataset, axes: Mapping[str, Axis], dimensions: Sequence[str], name: str
) -> tuple[Instant, ...]:
    """Every combination along those of `dimensions` that are of time, plus what scalars and attributes say."""
    said: list[list[_Said]] = []
    for key, axis in axes.items():
        if axis not in TEMPORAL:
            continue
        if key in dimensions:
            values = _values(dataset, key, axis, name)
            said.append([(axis, value, (key, index)) for index, value in enumerate(values)])
        elif key in dataset.variables and dataset.variables[key].ndim == 0:
            said.append([(axis, _values(dataset, key, axis, name)[0], None)])
    known = {values[0][0] for values in said if values}
    init_time = dataset.attrs.get("init_time")
    if init_time is not None and Axis.INIT not in known and not {Axis.TIME, Axis.LEAD} <= known:
        said.append([(Axis.INIT, _attribute_time(str(init_time), name), None)])
    try:
        instants = tuple(
            _instant({axis: value for axis, value, _ in chosen}, tuple(at for _, _, at in chosen if at))
            for chosen in product(*said)
        )
    except OverflowError:
        raise UnclearAxis(f"{name}: its times and lead times lead beyond the year 9999") from None
    for instant, count in Counter(replace(instant, at=()) for instant in instants).items():
        if count > 1:
            raise UnclearAxis(f"{name} holds {count} fields {instant}; one is expected: which of them counts?")
    return instants


def _degrees(coordinate: xr.Variable, where: str) -> NDArray[np.float64]:
    values = np.atleast_1d(coordinate.values)
    if values.ndim != 1 or values.size == 0 or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise UnclearAxis(f"{where} is {_shape_words(values)}; finite degrees along one dimension are expected")
    return values.astype(np.float64)


def _shape_words(values: NDArray[Any]) -> str:
    if values.size == 0:
        return "empty"
    if values.dtype.kind not in "fiu":
        return f"of type {values.dtype}"
    return f"of shape {values.shape}" if values.ndim != 1 else "not finite everywhere"


def _may_be_axis(dataset: xr.Dataset, name: Hashable) -> bool:
    """A field may carry a standard_name that axes have, too (air_pressure)."""
    return name in dataset.sizes or name in dataset.coords or dataset.variables[name].ndim == 0


def _attributes(dataset: xr.Dataset, name: Hashable) -> Mapping[str, Any]:
    return dataset.variables[name].attrs if name in dataset.variables else {}


def _values(dataset: xr.Dataset, key: str, axis: Axis, name: str) -> tuple[Any, ...]:
    where = f"{name}, axis {key!r}"
    if key not in dataset.variables:
        raise UnclearAxis(f"{where} has no values; {axis}s are expected")
    coordinate = dataset.variables[key]
    attributes = {**coordinate.encoding, **coordinate.attrs}
    if axis is Axis.LEAD:
        return leads(coordinate.values, unit_of(attributes, where), where)
    if axis in (Axis.INIT, Axis.VALID, Axis.TIME):
        return times(coordinate.values, attributes, where)
    return whole_numbers(coordinate.values, where, within=_WITHIN[axis])


def _attribute_time(text: str, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UnclearAxis(f"{name}: its attribute init_time {text!r} is no ISO 8601 time") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _instant(said: Mapping[Axis, Any], at: tuple[tuple[str, int], ...]) -> Instant:
    """What the axes say together. Plain `time` is the start of a forecast that has leads, else the valid time."""
    lead: timedelta | None = said.get(Axis.LEAD)
    init: datetime | None = said.get(Axis.INIT)
    valid: datetime | None = said.get(Axis.VALID)
    plain: datetime | None = said.get(Axis.TIME)
    if plain is not None and init is None and lead is not None:
        init = plain
    elif plain is not None and valid is None:
        valid = plain
    if init is not None and lead is not None:
        valid = init + lead
    elif init is not None and valid is not None:
        lead = valid - init
    elif valid is not None and lead is not None:
        init = valid - lead
    return Instant(
        init_time=init,
        lead=lead,
        valid_time=valid,
        month=said.get(Axis.MONTH),
        day_of_year=said.get(Axis.DAY),
        hour=said.get(Axis.HOUR),
        at=at,
    )
