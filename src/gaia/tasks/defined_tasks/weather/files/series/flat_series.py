"""Gaia's own stores as series: a single flat store, or a part of an archive (one flat store an instant)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.files.archive import SourceRole
from gaia.tasks.defined_tasks.weather.files.errors import UnusableStore
from gaia.tasks.defined_tasks.weather.files.series.series import Instant
from gaia.tasks.defined_tasks.weather.files.store.flat_store import FlatStore, read_header
from gaia.tasks.defined_tasks.weather.scoring.grid import Grid
from gaia.tasks.defined_tasks.weather.scoring.moments import Field
from gaia.tasks.defined_tasks.weather.variables import VARIABLES

_TIME_NAME = "%Y%m%dT%HZ"


class FlatSeries:
    """Flat stores by instant. Raises UnusableStore, StoreDamaged."""

    def __init__(self, name: str, stores: Mapping[Instant, Path]) -> None:
        self.name = name
        self._stores = stores
        headers = [read_header(path) for path in stores.values()]
        if any(header.grid != headers[0].grid for header in headers):
            raise UnusableStore(f"{name}: its stores lie on several grids; one is expected")
        shared = set.intersection(*(set(header.fields) for header in headers))
        self._fields = tuple(FieldId(*field) for field in headers[0].fields if field in shared)
        first = FlatStore(next(iter(stores.values())))
        self.grid = Grid.of(first.latitude, first.longitude)
        self.members: tuple[int, ...] = ()
        self.remarks: tuple[str, ...] = ()

    def fields(self) -> tuple[FieldId, ...]:
        """What every instant has."""
        return self._fields

    def instants(self) -> tuple[Instant, ...]:
        return tuple(self._stores)

    def unit(self, field: FieldId) -> str | None:
        """Flat stores are written in the table's units."""
        return VARIABLES[field.variable].unit

    def read(self, field: FieldId, instant: Instant, member: int | None = None) -> Field:
        """(nlat, nlon), mapped read-only."""
        return FlatStore(self._stores[instant]).read(field)

    def forget(self) -> None:
        """Nothing is kept: fields are mapped."""


def single_store(path: Path) -> FlatSeries:
    """One flat store."""
    return FlatSeries(str(path), {Instant(valid_time=read_header(path).valid_time): path})


def archive_part(path: Path, role: SourceRole) -> FlatSeries:
    """The truths, reference forecasts or climatology of an archive, by the names of its folders."""
    folder = path / ("truth" if role is SourceRole.ANALYSIS else str(role))
    stores = {_instant(store, role): store for store in _stores(folder, role)}
    if not stores:
        raise UnusableStore(f"{path} holds no {role}: there are no stores in {folder}")
    return FlatSeries(str(path), stores)


def _stores(folder: Path, role: SourceRole) -> list[Path]:
    return sorted(folder.glob("*T??Z/*h" if role is SourceRole.REFERENCE else "*T??Z"))


def _instant(store: Path, role: SourceRole) -> Instant:
    if role is SourceRole.REFERENCE:
        init_time = _time(store.parent.name)
        lead = timedelta(hours=int(store.name.removesuffix("h")))
        return Instant(init_time=init_time, lead=lead, valid_time=init_time + lead)
    if role is SourceRole.CLIMATOLOGY:
        day = _time(f"2000{store.name}")  # a leap year, so that every name is a day
        return Instant(month=day.month, day_of_month=day.day, hour=day.hour)
    return Instant(valid_time=_time(store.name))


def _time(name: str) -> datetime:
    return datetime.strptime(name, _TIME_NAME).replace(tzinfo=UTC)
