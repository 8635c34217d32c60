"""Compute handlers: what a source holds, and one instant of it as a flat store on the run's grid.

Runs in compute workers. Must not decide when data are due, nor fill in what is missing.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, assert_never

import msgspec

from gaia.protocol.run_spec import FieldId, GridSpec
from gaia.tasks.defined_tasks.weather.files.archive import SourceRole, archive_store
from gaia.tasks.defined_tasks.weather.files.errors import (
    BadSource,
    MissingField,
    StoreDamaged,
    StoreMissing,
    UnusableStore,
)
from gaia.tasks.defined_tasks.weather.files.inventory import Inventory
from gaia.tasks.defined_tasks.weather.files.store.field_store import FieldStore
from gaia.tasks.defined_tasks.weather.files.store.flat_store import (
    DATA_NAME,
    HEADER_NAME,
    FlatStore,
    read_header,
    write_flat_store,
)
from gaia.tasks.defined_tasks.weather.files.store.point_selection import select_points
from gaia.tasks.defined_tasks.weather.supply.decode_payloads import DecodePayload, DecodeResult, InventoryPayload


def handle_inventory(payload: Mapping[str, Any]) -> dict[str, Any]:
    """`weather.source.inventory`: InventoryPayload in, Inventory out."""
    result: dict[str, Any] = msgspec.to_builtins(take_inventory(msgspec.convert(payload, InventoryPayload)))
    return result


def handle_decode(payload: Mapping[str, Any]) -> dict[str, Any]:
    """`weather.source.decode`: DecodePayload in, DecodeResult out."""
    result: dict[str, Any] = msgspec.to_builtins(decode(msgspec.convert(payload, DecodePayload)))
    return result


def take_inventory(asked: InventoryPayload) -> Inventory:
    """What a source of truth holds. Raises a SourceFault or ConfigurationError that names the file."""
    path = Path(asked.source.path)
    match asked.source.format:
        case "archive":
            return _archive_inventory(path)
        case "grib":
            from gaia.tasks.defined_tasks.weather.files.store import grib

            return grib.inventory(path, asked.source.member)
        case "netcdf":
            from gaia.tasks.defined_tasks.weather.files.store import netcdf

            return netcdf.inventory(path)
        case _:
            assert_never(asked.source.format)


def decode(asked: DecodePayload) -> DecodeResult:
    """One instant as a flat store on the run's grid: the archive's own, or one at `destination`.

    Truth must hold every field of the run; a reference or climatology at least one. Raises MissingField,
    WrongGrid, and what reading the source raises.
    """
    wanted = asked.spec.fields()
    done = _already_published(Path(asked.destination), asked.spec.grid)
    store = done or _open(asked, wanted)
    present = tuple(field for field in wanted if field in set(store.fields()))
    missing = tuple(field for field in wanted if field not in set(present))
    if missing and (not present or asked.role in (SourceRole.TRUTH, SourceRole.ANALYSIS)):
        store.read(missing[0])  # raises MissingField, naming the file and what it has
    if isinstance(store, FlatStore) and store.grid == asked.spec.grid:
        return DecodeResult(path=store.name, fields=present, missing=missing)
    write_flat_store(
        asked.destination,
        grid=asked.spec.grid,
        valid_time=asked.valid_time,
        fields=present,
        data=select_points(store, present, asked.spec.grid),
        source=str(asked.source),
    )
    return DecodeResult(path=asked.destination, fields=present, missing=missing)


def _already_published(destination: Path, grid: GridSpec) -> FlatStore | None:
    """The store of an earlier attempt; one damaged since is removed, for it can be decoded again."""
    if not destination.exists():
        return None
    try:
        store = FlatStore(destination)
        store.verify()
    except (StoreDamaged, StoreMissing):
        if {entry.name for entry in destination.iterdir()} - {HEADER_NAME, DATA_NAME}:
            raise
        shutil.rmtree(destination)
        return None
    if store.grid != grid:
        raise StoreDamaged(f"{destination} lies on another grid than the wanted one; delete it")
    return store


def _open(asked: DecodePayload, wanted: tuple[FieldId, ...]) -> FieldStore:
    path = Path(asked.source.path)
    match asked.source.format:
        case "archive":
            place = archive_store(
                path, asked.role, valid_time=asked.valid_time, init_time=asked.init_time, lead_h=asked.lead_h
            )
            if path.exists() and not place.exists():
                raise MissingField(f"{path} holds no {asked.role} for that instant: there is no folder {place}")
            store = FlatStore(place)
            store.verify()
            return store
        case "grib":
            return _open_grib(asked, path, wanted)
        case "netcdf":
            return _open_netcdf(asked, path)
        case _:
            assert_never(asked.source.format)


def _open_grib(asked: DecodePayload, path: Path, wanted: tuple[FieldId, ...]) -> FieldStore:
    from gaia.tasks.defined_tasks.weather.files.store import grib

    match asked.role:
        case SourceRole.TRUTH | SourceRole.ANALYSIS:
            return grib.read_truth(path, asked.source.member, asked.valid_time, wanted)
        case SourceRole.REFERENCE:
            if asked.init_time is None or asked.lead_h is None:
                raise BadSource("a reference forecast is named by its init_time and lead_h")
            return grib.read_forecast(path, asked.source.member, asked.init_time, asked.lead_h, wanted)
        case SourceRole.CLIMATOLOGY:
            raise BadSource(f"{path}: a climatology must be an archive or NetCDF, not GRIB")
        case _:
            assert_never(asked.role)


def _open_netcdf(asked: DecodePayload, path: Path) -> FieldStore:
    from gaia.tasks.defined_tasks.weather.files.store import netcdf

    match asked.role:
        case SourceRole.TRUTH | SourceRole.ANALYSIS:
            return netcdf.open_truth(path, asked.valid_time)
        case SourceRole.CLIMATOLOGY:
            return netcdf.open_climatology(path, asked.valid_time)
        case SourceRole.REFERENCE:
            raise BadSource(f"{path}: a reference forecast must be an archive or GRIB, not NetCDF")
        case _:
            assert_never(asked.role)


def _archive_inventory(path: Path) -> Inventory:
    folders = sorted(entry for entry in (path / "truth").glob("????????T??Z") if entry.is_dir())
    if not folders:
        raise UnusableStore(f"{path} holds no truth: there are no folders {path / 'truth'}/YYYYMMDDTHHZ")
    headers = [read_header(folder) for folder in folders]
    if any(header.grid != headers[0].grid for header in headers):
        raise UnusableStore(f"{path}: its truth lies on several grids; one is expected")
    shared = set.intersection(*(set(header.fields) for header in headers))
    return Inventory(
        times=tuple(datetime.strptime(f.name, "%Y%m%dT%HZ").replace(tzinfo=UTC) for f in folders),
        fields=tuple(FieldId(name, level) for name, level in headers[0].fields if (name, level) in shared),
        grid=headers[0].grid,
    )
