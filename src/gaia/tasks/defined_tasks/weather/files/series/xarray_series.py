"""An xarray dataset as a series: Zarr 2 or 3 and NetCDF from disk, or a dataset that the caller holds.

Owns the finding of fields and instants by the names in use in the field. Never loads more than one block of a
variable, and never runs anything from a store: `refuse_unsafe_zarr` looks at it first.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from msgspec import Struct

from gaia.contracts.errors import GaiaError
from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.files.errors import StoreDamaged, UnclearAxis, UnusableStore, UnusableValues
from gaia.tasks.defined_tasks.weather.files.netcdf_size import refuse_cut_netcdf
from gaia.tasks.defined_tasks.weather.files.series.axes import Axis, levels, whole_numbers
from gaia.tasks.defined_tasks.weather.files.series.dataset_axes import HORIZONTAL, find_axes, find_grid, find_instants
from gaia.tasks.defined_tasks.weather.files.series.series import Instant
from gaia.tasks.defined_tasks.weather.files.series.unit_checks import height_remark
from gaia.tasks.defined_tasks.weather.files.source_units import HEIGHT_NAMES, factor_to_table, unit_of
from gaia.tasks.defined_tasks.weather.files.store.field_store import missing_field
from gaia.tasks.defined_tasks.weather.files.zarr.many_field_chunks import BlockReader
from gaia.tasks.defined_tasks.weather.files.zarr.zarr_blocks import ZarrBlocks
from gaia.tasks.defined_tasks.weather.files.zarr.zarr_chunks import ZarrChunks
from gaia.tasks.defined_tasks.weather.files.zarr.zarr_safety import refuse_unsafe_zarr
from gaia.tasks.defined_tasks.weather.scoring.moments import Field
from gaia.tasks.defined_tasks.weather.variables import VARIABLES, UnknownVariable, Variable, variable

_NOT_NETCDF = -51
"""NC_ENOTNC of netcdf.h."""


class _Place(Struct, frozen=True, kw_only=True):
    """Where a field lies: in which array, at which index of its level axis, and how to convert it."""

    array: str
    level: tuple[tuple[str, int], ...]
    factor: float
    unit: str | None


class XarraySeries:
    """A dataset. Raises UnclearAxis, UnusableStore and UnusableValues, naming file and axis."""

    def __init__(self, dataset: xr.Dataset, name: str, *, folder: Path | None = None) -> None:
        """folder: where the dataset lies as Zarr, so that plain arrays can be read without zarr-python."""
        self.name = name
        self._dataset = dataset
        self._folder = folder
        if not dataset.variables:
            raise UnusableStore(f"{name} is empty: it holds no variable at all")
        self._axes = find_axes(dataset)
        self.grid = find_grid(dataset, self._axes, name)
        self._places = dict(self._find_fields())
        if not self._places:
            raise UnusableStore(
                f"{name} has no variable of the table ({', '.join(VARIABLES)}, or their long names); it has "
                f"{', '.join(map(str, dataset.variables)) or 'nothing at all'}"
            )
        self._instants = find_instants(dataset, self._axes, self._used_dimensions(), name)
        self._member_axis = next((d for d in self._used_dimensions() if self._axes.get(d) is Axis.MEMBER), None)
        self._members = self._find_members()
        self._reader = BlockReader(self._plain, self._stored)

    @classmethod
    def open(cls, path: Path) -> XarraySeries:
        """The store at `path`: a folder is Zarr, a file NetCDF. Raises UnusableStore for anything else."""
        return cls(open_dataset(path), str(path), folder=path if path.is_dir() else None)

    @property
    def members(self) -> tuple[int, ...]:
        return self._members

    @property
    def remarks(self) -> tuple[str, ...]:
        heights = {place.array for place in self._places.values() if place.array in HEIGHT_NAMES}
        return tuple(height_remark(self.name, name) for name in sorted(heights))

    def fields(self) -> tuple[FieldId, ...]:
        """In the table's order, levels ascending."""
        order = list(VARIABLES)
        return tuple(sorted(self._places, key=lambda f: (order.index(f.variable), f.level_hpa or 0)))

    def instants(self) -> tuple[Instant, ...]:
        return self._instants

    def unit(self, field: FieldId) -> str | None:
        """The array's attribute; heights, which are known by their name, have become geopotential."""
        place = self._place(field)
        return VARIABLES["z"].unit if place.array in HEIGHT_NAMES else place.unit

    def read(self, field: FieldId, instant: Instant, member: int | None = None) -> Field:
        """(nlat, nlon) in the table's unit, NaN where missing."""
        place = self._place(field)
        at = dict(instant.at) | dict(place.level)
        if self._member_axis is not None:
            at[self._member_axis] = 0 if member is None else self._members.index(member)
        array = self._dataset.variables[place.array]
        try:
            wanted = {str(d): at.get(str(d), 0) for d in array.dims if not self._flat(d)}
            values = self._reader.read(place.array, array, wanted)
        except (StoreDamaged, UnusableStore, ValueError, TypeError, OSError, RuntimeError, KeyError) as error:
            raise UnusableStore(
                f"{self.name}: {field} {instant} cannot be read; is the file whole? {_one_line(error)}"
            ) from error
        return self._oriented(array, values * place.factor if place.factor != 1.0 else values)

    def forget(self) -> None:
        self._reader.forget()

    def _plain(self, name: str) -> ZarrBlocks | None:
        """The thin reader, where xarray would change none of the numbers: no scale, no missing value but NaN."""
        encoding = self._dataset.variables[name].encoding
        fill = encoding.get("_FillValue", np.nan)
        if self._folder is None or encoding.get("dtype") != np.float32 or not np.isnan(fill):
            return None
        if {"scale_factor", "add_offset", "missing_value"} & set(encoding):
            return None
        blocks = ZarrBlocks.open(self._folder / name)
        return blocks if blocks is not None and blocks.shape == self._dataset.variables[name].shape else None

    def _stored(self, name: str) -> ZarrChunks | None:
        return ZarrChunks(self._folder / name) if self._folder is not None else None

    def _oriented(self, array: xr.Variable, values: np.ndarray[Any, Any]) -> Field:
        """Rows of latitude, whatever the order in the file; a missing horizontal axis has one point."""
        left = [self._axes[str(d)] for d in array.dims if self._flat(d)]
        if left == [Axis.LONGITUDE, Axis.LATITUDE]:
            values = values.T
        with np.errstate(over="ignore"):  # a number too large becomes infinite, which is told as such
            return np.ascontiguousarray(values, dtype=np.float32).reshape(self.grid.shape)

    def _flat(self, dimension: Hashable) -> bool:
        return self._axes.get(str(dimension)) in HORIZONTAL

    def _place(self, field: FieldId) -> _Place:
        if field not in self._places:
            raise missing_field(self.name, field, self.fields())
        return self._places[field]

    def _find_fields(self) -> Iterator[tuple[FieldId, _Place]]:
        found: dict[FieldId, _Place] = {}
        for name, array in self._dataset.variables.items():
            known, level_hpa = _known_variable(str(name))
            if known is None or str(name) in self._dataset.sizes:
                continue
            self._check_array(str(name), array)
            unit = unit_of(array.attrs, f"{self.name}: {name!r}")
            factor = self._factor(known, str(name), unit)
            for level, at in self._levels_of(known, array) if level_hpa is None else [(level_hpa, ())]:
                field = FieldId(known.name, level)
                if field in found:
                    raise UnusableStore(f"{self.name} holds {field} twice: as {found[field].array!r} and {name!r}")
                found[field] = _Place(array=str(name), level=at, factor=factor, unit=unit)
        yield from found.items()

    def _factor(self, known: Variable, name: str, unit: str | None) -> float:
        try:
            return factor_to_table(known, unit, is_height=name in HEIGHT_NAMES)
        except UnusableStore as error:
            raise UnusableStore(f"{self.name}: {name!r}: {error}; convert it first") from None

    def _check_array(self, name: str, array: xr.Variable) -> None:
        if array.dtype.kind != "f":
            lost = ", nor is it packed with a scale_factor" if array.dtype.kind in "iu" else ""
            raise UnusableValues(f"{self.name}: {name!r} holds {array.dtype}, not floating-point numbers{lost}")
        for dimension, size in array.sizes.items():
            if str(dimension) not in self._axes and size != 1:
                raise UnclearAxis(
                    f"{self.name}: {name!r} has an axis {dimension!r} of {size} that is not understood; lead times "
                    "are called prediction_timedelta, lead_time or step, instants time, levels level"
                )
        if 0 in array.shape:
            raise UnusableStore(f"{self.name} is empty: {name!r} has shape {array.shape}")

    def _levels_of(
        self, known: Variable, array: xr.Variable
    ) -> Iterator[tuple[int | None, tuple[tuple[str, int], ...]]]:
        """(level in hPa, where) of each; a variable on an unsaid level is one field without a level."""
        dimension = next((str(d) for d in array.dims if self._axes.get(str(d)) is Axis.LEVEL), None)
        if not known.on_levels:
            if dimension is not None and array.sizes[dimension] != 1:
                raise UnusableStore(
                    f"{self.name}: {known.name} lies at the surface and has {array.sizes[dimension]} levels"
                )
            yield None, ()
            return
        scalar = next((n for n, a in self._axes.items() if a is Axis.LEVEL and self._is_scalar(n)), None)
        coordinate = dimension or scalar
        if coordinate is None:
            yield None, ()
            return
        if coordinate not in self._dataset.variables:
            raise UnclearAxis(f"{self.name}: axis {coordinate!r} has no values, so its levels are not known")
        axis = self._dataset.variables[coordinate]
        where = f"{self.name}, axis {coordinate!r}"
        found = levels(axis.values, unit_of(axis.attrs, where), coordinate, where)
        for index, level in enumerate(found):
            if level is not None:
                yield level, ((dimension, index),) if dimension else ()

    def _is_scalar(self, name: str) -> bool:
        return name in self._dataset.variables and self._dataset.variables[name].ndim == 0

    def _used_dimensions(self) -> tuple[str, ...]:
        used = {str(d) for place in self._places.values() for d in self._dataset.variables[place.array].dims}
        return tuple(str(d) for d in self._dataset.sizes if str(d) in used)

    def _find_members(self) -> tuple[int, ...]:
        if self._member_axis is None:
            return ()
        if self._member_axis not in self._dataset.variables:
            return tuple(range(self._dataset.sizes[self._member_axis]))
        where = f"{self.name}, axis {self._member_axis!r}"
        members = whole_numbers(self._dataset.variables[self._member_axis].values, where)
        if len(set(members)) != len(members):
            raise UnclearAxis(f"{where} holds a member more than once")
        return members


def _known_variable(name: str) -> tuple[Variable | None, int | None]:
    """The variable of the table that a file calls `name`, and the level if the name holds one (`z500`)."""
    if name in HEIGHT_NAMES:
        return VARIABLES["z"], None
    try:
        return variable(name), None
    except UnknownVariable:
        pass
    match = re.fullmatch(r"([a-z_]+?)_?(\d{1,4})(?:hpa)?", name, re.IGNORECASE)
    known = _known_variable(match[1])[0] if match else None
    return (known, int(match[2])) if match and known is not None and known.on_levels else (None, None)


def open_dataset(path: Path) -> xr.Dataset:
    """A Zarr folder or NetCDF file, its times not decoded. Raises UnusableStore."""
    engine = "zarr" if path.is_dir() else "netcdf4"
    options: Mapping[str, Any] = {"consolidated": False} if engine == "zarr" else {}
    try:
        if engine == "zarr":
            refuse_unsafe_zarr(path)
        else:
            refuse_cut_netcdf(path)
        with warnings.catch_warnings():
            # ERA-Interim files carry a NaN fill value on integers, which means that nothing is missing
            warnings.simplefilter("ignore", xr.SerializationWarning)
            # a forecast's folder holds its manifest, too
            warnings.filterwarnings("ignore", "Object at .* is not recognized as a component of a Zarr hierarchy")
            # Times are read here, by their units; consolidated metadata repeat what lies beside the arrays.
            return xr.open_dataset(path, engine=engine, chunks=None, decode_times=False, cache=False, **options)
    except GaiaError:
        raise
    except (ValueError, OSError, KeyError, TypeError, RuntimeError) as error:
        raise UnusableStore(_unreadable(path, error)) from error


def _unreadable(path: Path, error: Exception) -> str:
    """Why neither library reads a path, in words."""
    if path.is_dir():
        return f"{path} cannot be read as Zarr: {_one_line(error)}"
    if isinstance(error, OSError) and error.errno == _NOT_NETCDF:
        return f"{path} is neither NetCDF nor GRIB: its first bytes are those of no format that is read here"
    return f"{path} cannot be read as NetCDF, is it damaged or cut short? {_one_line(error)}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
