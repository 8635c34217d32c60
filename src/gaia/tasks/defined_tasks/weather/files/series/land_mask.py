"""A land-sea mask from a file: which share of each point is land.

Owns the finding of the mask in the file. Must never make land of what is missing: a mask has a value everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from gaia.tasks.defined_tasks.weather.files.errors import MissingField, StoreMissing, UnclearAxis, UnusableValues
from gaia.tasks.defined_tasks.weather.files.file_kind import is_grib
from gaia.tasks.defined_tasks.weather.files.grid_axes import coordinates
from gaia.tasks.defined_tasks.weather.files.series.axes import Axis
from gaia.tasks.defined_tasks.weather.files.series.dataset_axes import HORIZONTAL, find_axes, find_grid
from gaia.tasks.defined_tasks.weather.files.series.xarray_series import open_dataset
from gaia.tasks.defined_tasks.weather.files.store.grib import iterate
from gaia.tasks.defined_tasks.weather.files.zarr.zarr_chunks import ZarrChunks
from gaia.tasks.defined_tasks.weather.scoring.grid import Grid
from gaia.tasks.defined_tasks.weather.scoring.moments import Field

_NAMES = ("lsm", "land_sea_mask", "land_binary_mask", "land_area_fraction", "land", "landmask")
_ROUNDING = 1e-3
"""Packed masks miss 0 and 1 by so much at most."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LandMask:
    """The share of land, 0 to 1, float32 (nlat, nlon), on the file's own grid."""

    name: str
    grid: Grid
    land: Field


def read_land_mask(text: str) -> LandMask:
    """The mask that `FILE` or `FILE:variable` names. Raises StoreMissing, MissingField, UnusableValues, UnclearAxis."""
    path, wanted = _split(text)
    names = _NAMES if wanted is None else (wanted,)
    if is_grib(path):
        return _from_grib(path, names)
    return mask_of(open_dataset(path), names, str(path), folder=path if path.is_dir() else None)


def mask_of(dataset: xr.Dataset, names: Sequence[str], file: str, *, folder: Path | None = None) -> LandMask:
    """The mask that a dataset holds under one of these names. folder: where it lies as Zarr."""
    name = next((name for name in names if name in dataset.data_vars), None)
    if name is None:
        raise _missing(file, names, [str(other) for other in dataset.data_vars])
    axes = find_axes(dataset)
    array = dataset[name]
    for dimension, size in array.sizes.items():
        if axes.get(str(dimension)) not in HORIZONTAL and size != 1:
            raise UnclearAxis(f"{file}: the mask {name!r} has an axis {dimension!r} of {size}; one field is expected")
    if array.dtype.kind not in "fiub":
        raise UnusableValues(f"{file}: the mask {name!r} holds {array.dtype}, not numbers from 0 (sea) to 1 (land)")
    grid = find_grid(dataset, axes, file)
    flat = [str(d) for d in array.dims if axes.get(str(d)) in HORIZONTAL]
    rows_first = sorted(flat, key=lambda d: axes[d] is Axis.LONGITUDE)
    if folder is not None:
        ZarrChunks(folder / name).refuse_missing([range(size) for size in array.shape])
    values = array.isel({d: 0 for d in array.dims if str(d) not in flat}).transpose(*rows_first).values
    return _checked(np.asarray(values, dtype=np.float32).reshape(grid.shape), f"{file}: the mask {name!r}", grid, file)


def _from_grib(path: Path, names: Sequence[str]) -> LandMask:
    there = []
    for found in iterate(path):
        if found.short_name in names:
            grid = Grid.of(*coordinates(found.grid()))
            return _checked(found.values(), f"{path}: the mask {found.short_name!r}", grid, str(path))
        there.append(found.short_name)
    raise _missing(str(path), names, there)


def _checked(land: Field, what: str, grid: Grid, file: str) -> LandMask:
    missing = int((~np.isfinite(land)).sum())
    if missing:
        raise UnusableValues(f"{what} has no value at {missing} of {land.size} points; 0 to 1 is expected everywhere")
    if land.min() < -_ROUNDING or land.max() > 1.0 + _ROUNDING:
        raise UnusableValues(
            f"{what} reaches from {land.min():g} to {land.max():g}; expected is the share of land, 0 (sea) to 1 (land)"
        )
    return LandMask(name=file, grid=grid, land=np.clip(land, 0.0, 1.0))


def _split(text: str) -> tuple[Path, str | None]:
    path = Path(text).expanduser()
    if not path.exists():
        before, colon, name = text.rpartition(":")
        if colon and name and Path(before).expanduser().exists():
            return Path(before).expanduser(), name
        raise StoreMissing(f"the land-sea mask {text!r} does not exist; give FILE or FILE:variable")
    return path, None


def _missing(file: str, names: Sequence[str], there: Sequence[str]) -> MissingField:
    return MissingField(
        f"{file} has no land-sea mask called {' or '.join(names)}; it has "
        f"{', '.join(sorted(set(there))[:40]) or 'nothing'}; name the variable, like FILE:variable"
    )
