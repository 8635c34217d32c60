"""Stores of strangers, Zarr 2 or 3 and NetCDF, read as fields of one instant through xarray.

Recognises the names and axes in use in the field and refuses the rest by name. Must never run anything from
a store: object arrays and codecs outside a fixed list (pickle is a codec of Zarr 2) are refused before
xarray sees them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from msgspec import Struct
from numpy.typing import NDArray

from gaia.protocol.run_spec import FieldId, GridSpec
from gaia.tasks.defined_tasks.weather.files.errors import MissingField, UnusableStore
from gaia.tasks.defined_tasks.weather.files.grid_axes import coordinates, grid_of
from gaia.tasks.defined_tasks.weather.files.netcdf_size import refuse_cut_netcdf
from gaia.tasks.defined_tasks.weather.files.source_units import HEIGHT_NAMES, factor_to_hpa, factor_to_table, unit_of
from gaia.tasks.defined_tasks.weather.files.store.field_store import missing_field
from gaia.tasks.defined_tasks.weather.files.zarr.zarr_chunks import ZarrChunks
from gaia.tasks.defined_tasks.weather.files.zarr.zarr_safety import refuse_unsafe_zarr
from gaia.tasks.defined_tasks.weather.variables import VARIABLES, UnknownVariable, Variable, variable

LATITUDE_NAMES = ("latitude", "lat")
LONGITUDE_NAMES = ("longitude", "lon")
LEVEL_NAMES = (
    "level",
    "pressure_level",
    "isobaricInhPa",
    "isobaricInPa",
    "plev",
    "lev",
    "pressure",
    "isobaric",
)
LEAD_NAMES = ("prediction_timedelta", "lead_time", "lead", "step")
TIME_NAMES = ("time", "valid_time", "init_time", "forecast_reference_time")
_HOURS = {
    **{"hours": 1.0, "hour": 1.0, "h": 1.0, "days": 24.0, "d": 24.0, "minutes": 1 / 60, "seconds": 1 / 3600},
    **{"milliseconds": 1 / 3.6e6, "microseconds": 1 / 3.6e9, "nanoseconds": 1 / 3.6e12},
}


class _Place(Struct, frozen=True, kw_only=True):
    """Where a field lies: which variable, at which index of its level axis, and how to convert it."""

    array: str
    level_axis: str | None
    level_index: int
    factor: float


class XarrayStore:
    """A stranger's store.

    `lead_h` picks from a lead axis; a store without one is taken as the wanted instant. `at` gives the index
    to take along other axes, such as months. Raises UnusableStore, IrregularGrid, and MissingField for a lead
    that is not there.
    """

    def __init__(self, path: Path, *, lead_h: int | None = None, at: Mapping[str, int] | None = None) -> None:
        self.name = str(path)
        self._folder = path if path.is_dir() else None
        self._dataset = _open(path)
        self._latitude_name = self._axis(LATITUDE_NAMES, "latitude")
        self._longitude_name = self._axis(LONGITUDE_NAMES, "longitude")
        self.grid: GridSpec = grid_of(
            self._dataset[self._latitude_name].values, self._dataset[self._longitude_name].values
        )
        self.latitude, self.longitude = coordinates(self.grid)
        self._instant = dict(at or {})
        self._instant |= self._instant_of(lead_h)
        self._places = dict(self._find_fields())
        if not self._places:
            names = ", ".join(str(v) for v in self._dataset.variables) or "nothing"
            raise UnusableStore(f"{path} has no known variable with its level; it has {names}")

    def fields(self) -> tuple[FieldId, ...]:
        """In the table's order, levels ascending."""
        order = list(VARIABLES)
        return tuple(sorted(self._places, key=lambda f: (order.index(f.variable), f.level_hpa or 0)))

    def read(self, field: FieldId) -> NDArray[np.float32]:
        """Loads one field; masked and fill values become NaN."""
        place = self._places.get(field)
        if place is None:
            raise missing_field(self.name, field, self.fields())
        selection: dict[str, int] = dict(self._instant)
        if place.level_axis is not None:
            selection[place.level_axis] = place.level_index
        array = self._dataset[place.array]
        self._refuse_missing_chunks(array, selection)
        selected = array.isel({axis: at for axis, at in selection.items() if axis in array.dims})
        extra = {axis: 0 for axis in selected.dims if axis not in (self._latitude_name, self._longitude_name)}
        selected = selected.isel(extra)
        order = [axis for axis in (self._latitude_name, self._longitude_name) if axis in selected.dims]
        try:
            values = selected.transpose(*order).values
        except (ValueError, OSError, RuntimeError) as error:
            raise UnusableStore(f"{self.name}: {field} cannot be read: {_one_line(error)}") from error
        converted = np.asarray(values * place.factor if place.factor != 1.0 else values, dtype=np.float32)
        return converted.reshape(self.grid.shape)

    def _refuse_missing_chunks(self, array: xr.DataArray, selection: Mapping[str, int]) -> None:
        if self._folder is None:
            return
        box = []
        for axis, size in array.sizes.items():
            whole = axis in (self._latitude_name, self._longitude_name)
            first = 0 if whole else selection.get(str(axis), 0)
            box.append(range(first, size if whole else first + 1))
        ZarrChunks(self._folder / str(array.name)).refuse_missing(box)

    def _axis(self, names: tuple[str, ...], what: str) -> str:
        found = [name for name in names if name in self._dataset.variables]
        if len(found) != 1:
            there = ", ".join(str(v) for v in self._dataset.variables) or "nothing"
            raise UnusableStore(f"{self.name} has {len(found)} {what} coordinates ({names[0]}, ...); it has {there}")
        return found[0]

    def _instant_of(self, lead_h: int | None) -> dict[str, int]:
        """Index along the time and lead axes."""
        chosen: dict[str, int] = {}
        for axis in TIME_NAMES:
            if axis not in self._instant and self._dataset.sizes.get(axis, 1) != 1:
                raise UnusableStore(
                    f"{self.name} has {self._dataset.sizes[axis]} instants on axis {axis!r}; one is expected"
                )
        for axis in LEAD_NAMES:
            if axis in self._dataset.sizes:
                chosen[axis] = self._lead_index(axis, lead_h)
        return chosen

    def _lead_index(self, axis: str, lead_h: int | None) -> int:
        if axis not in self._dataset.variables:
            raise UnusableStore(f"{self.name}: axis {axis!r} has no values, so its leads are not known")
        leads_h = _hours(
            self._dataset[axis].values, unit_of(self._dataset[axis].attrs, f"{self.name}: {axis!r}"), self.name
        )
        if lead_h is None and leads_h.size == 1:
            return 0
        matches = np.flatnonzero(np.abs(leads_h - lead_h) < 1e-6) if lead_h is not None else np.array([], dtype=int)
        if matches.size != 1:
            wanted = "which lead is wanted was not said" if lead_h is None else f"lead {lead_h} h is wanted"
            raise MissingField(f"{self.name}: {wanted}; it has {', '.join(f'{h:g}' for h in leads_h[:60])} h")
        return int(matches[0])

    def _find_fields(self) -> Iterator[tuple[FieldId, _Place]]:
        found: dict[FieldId, _Place] = {}
        for name, array in self._dataset.variables.items():
            known = _known_variable(str(name))
            if known is None:
                continue
            self._check_array(str(name), array)
            factor = factor_to_table(
                known, unit_of(array.attrs, f"{self.name}: {name!r}"), is_height=str(name) in HEIGHT_NAMES
            )
            for level_hpa, axis, index in self._levels_of(known, array):
                field = FieldId(known.name, level_hpa)
                if field in found:
                    raise UnusableStore(f"{self.name} holds {field} twice: {found[field].array!r} and {name!r}")
                found[field] = _Place(array=str(name), level_axis=axis, level_index=index, factor=factor)
        yield from found.items()

    def _check_array(self, name: str, array: xr.Variable) -> None:
        if array.dtype.kind not in "fiu":
            raise UnusableStore(f"{self.name}: {name!r} holds {array.dtype}, not numbers")
        free = {*LEVEL_NAMES, *LEAD_NAMES, *self._instant, self._latitude_name, self._longitude_name}
        for axis, size in array.sizes.items():
            if axis not in free and size != 1:
                raise UnusableStore(f"{self.name}: {name!r} has an axis {axis!r} of {size} that is not understood")

    def _levels_of(self, known: Variable, array: xr.Variable) -> Iterator[tuple[int | None, str | None, int]]:
        """(level in hPa, its axis, index along it) of each level of an array."""
        axis = next((name for name in LEVEL_NAMES if name in array.sizes), None)
        if not known.on_levels:
            if axis is not None and array.sizes[axis] != 1:
                raise UnusableStore(f"{self.name}: surface variable {known.name} has {array.sizes[axis]} levels")
            yield None, axis, 0
            return
        coordinate = axis or next((name for name in LEVEL_NAMES if self._is_scalar(name)), None)
        if coordinate is None or coordinate not in self._dataset.variables:
            return
        levels = np.atleast_1d(self._dataset[coordinate].values).astype(np.float64)
        said = unit_of(self._dataset[coordinate].attrs, f"{self.name}: {coordinate!r}")
        unit = said or ("Pa" if coordinate == "isobaricInPa" else None)
        for index, level in enumerate(levels * factor_to_hpa(unit, float(levels.max()))):
            if abs(level - round(level)) < 1e-3 and round(level) > 0:  # the rest (0.5 hPa) no run asks for
                yield round(level), axis, index

    def _is_scalar(self, name: str) -> bool:
        return name in self._dataset.variables and self._dataset[name].size == 1


def _open(path: Path) -> xr.Dataset:
    engine = "netcdf4"
    if path.is_dir():
        refuse_unsafe_zarr(path)
        engine = "zarr"
    options: Mapping[str, Any] = {"consolidated": False} if engine == "zarr" else {}
    try:
        if engine == "netcdf4":
            refuse_cut_netcdf(path)
        with warnings.catch_warnings():
            # ERA-Interim files carry a NaN fill value on integers, which means that nothing is missing
            warnings.simplefilter("ignore", xr.SerializationWarning)
            # times are read here, by their units; consolidated metadata repeat what lies beside the arrays
            return xr.open_dataset(path, engine=engine, chunks=None, decode_times=False, cache=False, **options)
    except (ValueError, OSError, KeyError, TypeError, RuntimeError) as error:
        raise UnusableStore(f"{path} cannot be read as {engine}: {_one_line(error)}") from error


def _known_variable(name: str) -> Variable | None:
    if name in HEIGHT_NAMES:
        return VARIABLES["z"]
    try:
        return variable(name)
    except UnknownVariable:
        return None


def _hours(values: NDArray[Any], unit: str | None, name: str) -> NDArray[np.float64]:
    """Leads in hours, from timedeltas or from numbers with a unit; numbers without one are hours."""
    leads = np.atleast_1d(values)
    if leads.dtype.kind == "m":
        return np.asarray(leads / np.timedelta64(1, "h"), dtype=np.float64)
    if leads.dtype.kind not in "fiu" or (unit is not None and unit.lower() not in _HOURS):
        raise UnusableStore(f"{name}: leads of type {leads.dtype} in unit {unit!r} are not understood")
    return leads.astype(np.float64) * (1.0 if unit is None else _HOURS[unit.lower()])


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
