"""Finds out what kind of store lies at a path, by its content, and opens it. Reads no field."""

from __future__ import annotations

from pathlib import Path

from gaia.tasks.defined_tasks.weather.files.errors import StoreMissing
from gaia.tasks.defined_tasks.weather.files.safe_open import open_regular
from gaia.tasks.defined_tasks.weather.files.store.field_store import FieldStore
from gaia.tasks.defined_tasks.weather.files.store.flat_store import HEADER_NAME, FlatStore


def open_store(path: str | Path, *, lead_h: int | None = None) -> FieldStore:
    """Open whatever lies at `path`: a flat store, GRIB, or a stranger's Zarr or NetCDF.

    `lead_h` chooses the instant where the store has a lead axis. Raises StoreMissing, StoreDamaged,
    UnusableStore, IrregularGrid.
    """
    place = Path(path)
    if not place.exists():
        raise StoreMissing(f"{place} does not exist; give the path of a store of fields (flat, Zarr or NetCDF)")
    if (place / HEADER_NAME).is_file():
        return FlatStore(place)
    if not place.is_dir() and _starts_with_grib(place):
        from gaia.tasks.defined_tasks.weather.files.store.grib import read_only_instant

        return read_only_instant(place, lead_h)
    from gaia.tasks.defined_tasks.weather.files.store.xarray_store import XarrayStore

    return XarrayStore(place, lead_h=lead_h)


def _starts_with_grib(path: Path) -> bool:
    try:
        with open_regular(path) as file:
            return file.read(4) == b"GRIB"
    except OSError as error:
        raise StoreMissing(f"{path} cannot be read: {error.strerror}") from None
