"""A GRIB file as a series: its headers are read once, its fields one by one, wherever in the file they lie.

Owns the list of what the file holds. The traps of the format itself are those of `sources.grib`.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import eccodes

from gaia.protocol.run_spec import FieldId, GridSpec
from gaia.tasks.defined_tasks.weather.files.errors import MissingField, TruncatedGrib, UnusableStore
from gaia.tasks.defined_tasks.weather.files.grid_axes import coordinates
from gaia.tasks.defined_tasks.weather.files.series.series import Instant
from gaia.tasks.defined_tasks.weather.files.series.unit_checks import height_remark
from gaia.tasks.defined_tasks.weather.files.store.field_store import missing_field
from gaia.tasks.defined_tasks.weather.files.store.grib import GEOPOTENTIAL_HEIGHT, Entry, GribField, iterate
from gaia.tasks.defined_tasks.weather.scoring.grid import Grid
from gaia.tasks.defined_tasks.weather.scoring.moments import Field
from gaia.tasks.defined_tasks.weather.variables import VARIABLES


class _Place(NamedTuple):
    """Where a field begins: the byte to look from, and how many fields of that message come before it."""

    from_byte: int
    fields_before: int
    ordinal: int


class _Key(NamedTuple):
    field: FieldId
    instant: Instant
    member: int | None


class GribSeries:
    """A file of GRIB 1 or 2. Raises TruncatedGrib, UnusableStore, IrregularGrid."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path
        self._places: dict[_Key, _Place] = {}
        grids: set[GridSpec] = set()
        has_heights = False
        end_byte, message_end_byte, fields_before = 0, 0, 0
        for found in iterate(path):
            if found.end_byte != message_end_byte:
                end_byte, message_end_byte, fields_before = message_end_byte, found.end_byte, 0
            entry = found.entry()
            if entry is not None:
                has_heights |= found.short_name == GEOPOTENTIAL_HEIGHT
                self._add(entry, _Place(end_byte, fields_before, found.ordinal))
                grids.add(entry.grid)
            fields_before += 1
        if not self._places:
            raise UnusableStore(f"{path} has no field of the table ({', '.join(VARIABLES)}) at an instant")
        if len(grids) != 1:
            raise UnusableStore(f"{path}: its known fields lie on {len(grids)} grids; one is expected")
        self.grid = Grid.of(*coordinates(grids.pop()))
        self.members = tuple(sorted({key.member for key in self._places if key.member is not None}))
        self.remarks = (height_remark(self.name, GEOPOTENTIAL_HEIGHT),) if has_heights else ()
        order = list(VARIABLES)
        held = {key.field for key in self._places}
        self._fields = tuple(sorted(held, key=lambda f: (order.index(f.variable), f.level_hpa or 0)))

    def fields(self) -> tuple[FieldId, ...]:
        """In the table's order, levels ascending."""
        return self._fields

    def instants(self) -> tuple[Instant, ...]:
        return tuple(dict.fromkeys(key.instant for key in self._places))

    def unit(self, field: FieldId) -> str | None:
        """GRIB fixes the unit of every quantity, and `sources.grib` turns heights into geopotential."""
        return VARIABLES[field.variable].unit

    def read(self, field: FieldId, instant: Instant, member: int | None = None) -> Field:
        """(nlat, nlon) in the table's unit, NaN where missing."""
        known = self.members
        place = self._places.get(_Key(field, instant, known[0] if member is None and known else member))
        if place is None:
            if field not in self.fields():
                raise missing_field(self.name, field, self.fields())
            raise MissingField(f"{self.name} has no {field} {instant}" + (f", member {member}" if known else ""))
        # A new file object each time: ecCodes keeps a buffer of its own that a seek would not move.
        with self._path.open("rb") as file:
            file.seek(place.from_byte)
            try:
                return self._decode(file, place)
            finally:
                eccodes.codes_grib_multi_support_reset_file(file)

    def forget(self) -> None:
        """Nothing is kept."""

    def _decode(self, file: object, place: _Place) -> Field:
        for _ in range(place.fields_before):
            eccodes.codes_release(eccodes.codes_grib_new_from_file(file))
        handle = eccodes.codes_grib_new_from_file(file)
        if handle is None:
            raise TruncatedGrib(f"{self.name} became shorter while it was read")
        try:
            return GribField(self._path, place.ordinal, handle).values()
        finally:
            eccodes.codes_release(handle)

    def _add(self, entry: Entry, place: _Place) -> None:
        instant = Instant(init_time=entry.init_time, lead=entry.lead, valid_time=entry.valid_time)
        key = _Key(entry.field, instant, entry.member)
        if key in self._places:
            raise UnusableStore(f"{self.name} holds {entry.field} {instant} more than once")
        self._places[key] = place
