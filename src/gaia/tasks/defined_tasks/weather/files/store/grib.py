"""GRIB 1 and 2 through ecCodes, read as fields of one instant.

Owns the traps: several fields in one message (old GFS files keep v beside u), a missing value that no real
value equals, heights where geopotential is meant, points stored in any direction, files that are cut short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import eccodes
import numpy as np
from numpy.typing import NDArray

from gaia.protocol.run_spec import FieldId, GridSpec
from gaia.tasks.defined_tasks.weather.files.errors import (
    IrregularGrid,
    MissingField,
    MissingMember,
    TruncatedGrib,
    UnusableStore,
)
from gaia.tasks.defined_tasks.weather.files.grid_axes import snap_ends
from gaia.tasks.defined_tasks.weather.files.inventory import Inventory
from gaia.tasks.defined_tasks.weather.files.safe_open import open_regular
from gaia.tasks.defined_tasks.weather.files.store.field_store import MemoryStore, missing_field
from gaia.tasks.defined_tasks.weather.variables import STANDARD_GRAVITY, VARIABLES

_MISSING = -1.0e34
"""Stands for missing points while ecCodes decodes; its default, 9999, is a real height near 250 hPa."""
GEOPOTENTIAL_HEIGHT = "gh"
"""The short name of what is multiplied by gravity to be geopotential."""
_BY_SHORT_NAME = {name: v for v in VARIABLES.values() for name in v.grib_short_names}
_BY_SHORT_NAME[GEOPOTENTIAL_HEIGHT] = VARIABLES["z"]
_AXIS_TOLERANCE = {1: 5e-4, 2: 5e-7}
"""Degrees: edition 1 stores millidegrees, edition 2 microdegrees."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One known field of a file, as its header describes it."""

    ordinal: int
    """Counts the fields of the file from 1, those inside one message separately."""
    field: FieldId
    init_time: datetime
    valid_time: datetime
    member: int | None
    grid: GridSpec

    @property
    def lead(self) -> timedelta:
        """Zero for an analysis."""
        return self.valid_time - self.init_time


class GribField:
    """One field of an open file; valid only until the iteration goes on."""

    def __init__(self, path: Path, ordinal: int, handle: int) -> None:
        self.path = path
        self.ordinal = ordinal
        self._handle = handle

    @property
    def short_name(self) -> str:
        """What ecCodes calls the quantity."""
        return str(self._get("shortName"))

    @property
    def field_id(self) -> FieldId | None:
        """The field of the variable table that this is; None for anything else."""
        known = _BY_SHORT_NAME.get(self.short_name)
        if known is None or self._get("stepType") != "instant":
            return None
        if not known.on_levels:
            return FieldId(known.name)
        level, kind = float(self._get("level")), self._get("typeOfLevel")
        level_hpa = {"isobaricInhPa": level, "isobaricInPa": level / 100}.get(str(kind), 0.0)
        return FieldId(known.name, round(level_hpa)) if level_hpa > 0 and level_hpa.is_integer() else None

    @property
    def end_byte(self) -> int:
        """The byte after the message that this field lies in."""
        return int(self._get("offset")) + int(self._get("totalLength"))

    def entry(self) -> Entry | None:
        """The header of a known field."""
        field = self.field_id
        if field is None:
            return None
        return Entry(
            ordinal=self.ordinal,
            field=field,
            init_time=self._time("dataDate", "dataTime"),
            valid_time=self._time("validityDate", "validityTime"),
            member=int(self._get("number")) if eccodes.codes_is_defined(self._handle, "number") else None,
            grid=self.grid(),
        )

    def grid(self) -> GridSpec:
        """The nominal grid, in the order in which `values` returns the points."""
        if self._get("gridType") != "regular_ll":
            raise IrregularGrid(f"{self._where()} is on a {self._get('gridType')} grid; regular_ll is needed")
        tolerance = _AXIS_TOLERANCE[int(self._get("edition"))]
        rows, columns = int(self._get("Nj")), int(self._get("Ni"))
        west, east = self._degrees("longitudeOfFirst"), self._degrees("longitudeOfLast")
        eastward = not self._get("iScansNegatively")
        turn = 360.0 if eastward and east < west else -360.0 if not eastward and east > west else 0.0
        north, south = self._degrees("latitudeOfFirst"), self._degrees("latitudeOfLast")
        latitude = snap_ends(north, south, rows, tolerance)
        longitude = snap_ends(west, east + turn, columns, tolerance)
        return GridSpec(
            latitude_first=latitude[0],
            latitude_step=latitude[1],
            latitude_count=rows,
            longitude_first=longitude[0],
            longitude_step=longitude[1],
            longitude_count=columns,
        )

    def values(self) -> NDArray[np.float32]:
        """(nlat, nlon) in the table's unit, NaN where missing."""
        rows, columns = int(self._get("Nj")), int(self._get("Ni"))
        try:
            eccodes.codes_set(self._handle, "missingValue", _MISSING)
            flat: NDArray[np.float64] = eccodes.codes_get_values(self._handle)
        except eccodes.CodesInternalError as error:
            packing = self._get("packingType")
            raise UnusableStore(f"{self._where()}, packed as {packing}, is not decodable: {error}") from error
        # not only with a bitmap: complex packing has missing values of its own
        flat = np.where(flat == _MISSING, np.nan, flat)
        if self.short_name == GEOPOTENTIAL_HEIGHT:
            flat = flat * STANDARD_GRAVITY
        if self._get("jPointsAreConsecutive"):
            values = flat.reshape(columns, rows).T.astype(np.float32)
        else:
            values = flat.reshape(rows, columns).astype(np.float32)
            if self._get("alternativeRowScanning"):
                values[1::2] = values[1::2, ::-1]
        return np.ascontiguousarray(values)

    def _get(self, key: str) -> str | int | float:
        value: str | int | float = eccodes.codes_get(self._handle, key)
        return value

    def _degrees(self, end: str) -> float:
        return float(self._get(f"{end}GridPointInDegrees"))

    def _time(self, date_key: str, time_key: str) -> datetime:
        date, hhmm = int(self._get(date_key)), int(self._get(time_key))
        return datetime(date // 10000, date // 100 % 100, date % 100, hhmm // 100, hhmm % 100, tzinfo=UTC)

    def _where(self) -> str:
        return f"{self.path}: field {self.ordinal} ({self.short_name})"


def iterate(path: Path) -> Iterator[GribField]:
    """Every field of a file, in its order. Raises StoreMissing, TruncatedGrib, UnusableStore."""
    eccodes.codes_grib_multi_support_on()
    with open_regular(path) as file:
        try:
            yield from _iterate_open(path, file)
        finally:
            # a reader that stopped inside a message of two fields must not leave the second to the next file
            eccodes.codes_grib_multi_support_reset_file(file)


def _iterate_open(path: Path, file: object) -> Iterator[GribField]:
    ordinal, end_byte, size_bytes = 0, 0, path.stat().st_size
    while True:
        try:
            handle = eccodes.codes_grib_new_from_file(file)
        except eccodes.CodesInternalError as error:
            raise _truncated(path, ordinal, end_byte, size_bytes, str(error)) from error
        if handle is None:
            break
        ordinal += 1
        try:
            field = GribField(path, ordinal, handle)
            end_byte = field.end_byte
            yield field
        finally:
            eccodes.codes_release(handle)
    if ordinal == 0:
        raise UnusableStore(f"{path} holds no GRIB message ({size_bytes} bytes)")
    if _next_content(path, end_byte) is not None:
        raise _truncated(path, ordinal, end_byte, size_bytes, "what follows is no whole message")


def _truncated(path: Path, ordinal: int, end_byte: int, size_bytes: int, why: str) -> TruncatedGrib:
    start_byte = _next_content(path, end_byte)
    return TruncatedGrib(
        f"{path} is cut short or damaged: field {ordinal + 1}, from byte {start_byte} of {size_bytes}: {why}; "
        "fetch the file again"
    )


def _next_content(path: Path, start_byte: int) -> int | None:
    """Where, from a byte on, something other than padding stands; None if nothing does (within 64 KiB)."""
    with path.open("rb") as file:
        file.seek(start_byte)
        rest = file.read(1 << 16)
    content = rest.lstrip(b"\x00 \r\n")
    return start_byte + len(rest) - len(content) if content else None


def inventory(path: Path, member: int | None) -> Inventory:
    """What the file holds as truth. Raises MissingMember, and as `iterate`."""
    everything = _entries(path)
    entries = _as_truth(_of_member(path, everything, member))
    times = tuple(sorted({e.valid_time for e in entries}))
    order = list(VARIABLES)
    by_time = [{e.field for e in entries if e.valid_time == time} for time in times]
    fields = set.intersection(*by_time) if by_time else set()
    return Inventory(
        times=times,
        fields=tuple(sorted(fields, key=lambda f: (order.index(f.variable), f.level_hpa or 0))),
        grid=_one_grid(path, entries),
        members=tuple(sorted({e.member for e in everything if e.member is not None})),
    )


def read_truth(path: Path, member: int | None, valid_time: datetime, wanted: Sequence[FieldId]) -> MemoryStore:
    """The wanted fields of an instant: analyses or, in a file without any, the shortest forecasts."""
    entries = _as_truth(_of_member(path, _entries(path), member))
    chosen = [e for e in entries if e.valid_time == valid_time]
    times = sorted({e.valid_time for e in entries})
    return _decode(path, chosen, wanted, f"valid at {valid_time.isoformat()}", times)


def read_forecast(
    path: Path, member: int | None, init_time: datetime, lead_h: int, wanted: Sequence[FieldId]
) -> MemoryStore:
    """The wanted fields of a forecast started at `init_time`, `lead_h` hours on."""
    entries = _of_member(path, _entries(path), member)
    chosen = [e for e in entries if e.init_time == init_time and e.lead == timedelta(hours=lead_h)]
    what = f"started {init_time.isoformat()}, +{lead_h} h"
    return _decode(path, chosen, wanted, what, sorted({e.init_time for e in entries}))


def read_only_instant(path: Path, lead_h: int | None) -> MemoryStore:
    """All known fields of a file that holds one instant, or one at `lead_h`."""
    entries = _of_member(path, _entries(path), None)
    chosen = [e for e in entries if lead_h is None or e.lead == timedelta(hours=lead_h)]
    times = sorted({e.valid_time for e in chosen})
    if len(times) > 1:
        raise UnusableStore(f"{path} holds {len(times)} instants from {times[0].isoformat()} on; one is needed")
    what = "at all" if lead_h is None else f"at +{lead_h} h"
    return _decode(path, chosen, [e.field for e in chosen], what, sorted({e.valid_time for e in entries}))


def _entries(path: Path) -> list[Entry]:
    return [entry for field in iterate(path) if (entry := field.entry()) is not None]


def _of_member(path: Path, entries: list[Entry], member: int | None) -> list[Entry]:
    members = sorted({e.member for e in entries if e.member is not None})
    if member is None and len(members) > 1:
        raise MissingMember(f"{path} holds members {members}; say which one, like ?member={members[0]}")
    if member is not None and member not in members:
        raise MissingMember(f"{path} has no member {member}; it has {members or 'none'}")
    return [e for e in entries if member is None or e.member == member]


def _as_truth(entries: list[Entry]) -> list[Entry]:
    """Analyses where there are any: a 6-hour forecast beside them is not what the weather did."""
    analyses = [e for e in entries if not e.lead]
    if analyses:
        return analyses
    shortest: dict[tuple[datetime, FieldId], Entry] = {}
    for entry in entries:
        best = shortest.setdefault((entry.valid_time, entry.field), entry)
        if entry.lead < best.lead:
            shortest[entry.valid_time, entry.field] = entry
    return list(shortest.values())


def _one_grid(path: Path, entries: Sequence[Entry]) -> GridSpec:
    grids = {e.grid for e in entries}
    if len(grids) != 1:
        raise UnusableStore(f"{path}: its known fields lie on {len(grids)} grids; one is expected")
    return grids.pop()


def _decode(
    path: Path, chosen: Sequence[Entry], wanted: Sequence[FieldId], what: str, times: Sequence[datetime]
) -> MemoryStore:
    if not chosen:
        there = ", ".join(t.isoformat() for t in times[:20]) or "none"
        raise MissingField(f"{path} has no known field {what}; its times are {there}")
    available = sorted({e.field for e in chosen})
    by_ordinal = {e.ordinal: e for e in chosen if e.field in set(wanted)}
    if not by_ordinal:
        raise missing_field(f"{path} {what}", wanted[0], available)
    if len({e.field for e in by_ordinal.values()}) != len(by_ordinal):
        raise UnusableStore(f"{path} holds a field {what} more than once")
    data = _values(path, by_ordinal.keys().__contains__)
    fields: Mapping[FieldId, NDArray[np.float32]] = {by_ordinal[n].field: values for n, values in data}
    return MemoryStore(str(path), _one_grid(path, list(by_ordinal.values())), fields, available)


def _values(path: Path, is_chosen: Callable[[int], bool]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    for field in iterate(path):
        if is_chosen(field.ordinal):
            yield field.ordinal, field.values()
