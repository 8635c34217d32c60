"""From the text that names a file to a series: flat store, archive, GRIB, Zarr or NetCDF, with or without a member.

Owns the choice of the reader. Reads nothing but what tells the formats apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from gaia.tasks.defined_tasks.weather.evaluation.errors import BadRequest
from gaia.tasks.defined_tasks.weather.evaluation.series import Series
from gaia.tasks.defined_tasks.weather.sources.catalog import ARCHIVE_HEADER, Role
from gaia.tasks.defined_tasks.weather.sources.errors import BadSource, MissingMember, StoreMissing
from gaia.tasks.defined_tasks.weather.sources.field_store import HEADER_NAME

FORECAST = "forecast"
TRUTH = "truth"
CLIMATOLOGY = "climatology"
REFERENCE = "reference"

# What a part of our own archives is when it is named as ...
_ARCHIVE_ROLES: Mapping[str, Role] = {
    FORECAST: Role.REFERENCE,  # an archive's only forecast
    TRUTH: Role.TRUTH,
    CLIMATOLOGY: Role.CLIMATOLOGY,
    REFERENCE: Role.REFERENCE,
}
_PREFIX = re.compile(r"(archive|grib|netcdf|zarr):(?=.)")


def open_series(text: str, what: str) -> tuple[Series, int | None]:
    """The series that `path`, `grib:path?member=0` and the like name, and the member asked for.

    what: one of FORECAST, TRUTH, CLIMATOLOGY, REFERENCE. Raises StoreMissing, BadSource, MissingMember, and what
    reading the headers of the format raises.
    """
    body, member = _split_member(_PREFIX.sub("", text) if not Path(text).exists() else text)
    path = Path(body).expanduser()
    if not body or not path.exists():
        raise StoreMissing(f"the {what} {text!r} does not exist; give the path of a Zarr, NetCDF, GRIB or flat store")
    series = _open(path, what)
    _check_member(series, member, what)
    return series, member


def _open(path: Path, what: str) -> Series:
    if (path / HEADER_NAME).is_file():
        from gaia.tasks.defined_tasks.weather.evaluation.flat_series import single_store

        return single_store(path)
    if (path / ARCHIVE_HEADER).is_file():
        from gaia.tasks.defined_tasks.weather.evaluation.flat_series import archive_part

        return archive_part(path, _ARCHIVE_ROLES[what])
    if path.is_file() and _first_bytes(path) == b"GRIB":
        from gaia.tasks.defined_tasks.weather.evaluation.grib_series import GribSeries

        return GribSeries(path)
    from gaia.tasks.defined_tasks.weather.evaluation.xarray_series import XarraySeries

    return XarraySeries.open(path)


def _check_member(series: Series, member: int | None, what: str) -> None:
    if member is not None and member not in series.members:
        raise MissingMember(f"{series.name} has no member {member}; it has {_some(series.members)}")
    if member is None and len(series.members) > 1 and what != FORECAST:
        raise MissingMember(
            f"the {what} {series.name} holds members {_some(series.members)}; say which one, like "
            f"{series.name}?member={series.members[0]}"
        )


def _split_member(text: str) -> tuple[str, int | None]:
    body, question, query = text.rpartition("?")
    if not question:
        return text, None
    match = re.fullmatch(r"member=(\d{1,6})", query)
    if match is None:
        raise BadSource(f"{text!r}: after ? only member=NUMBER is understood")
    return body, int(match[1])


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            first = file.read(4)
    except OSError as error:
        raise StoreMissing(f"{path} cannot be read: {error.strerror}") from None
    if not first:
        raise BadRequest(f"{path} is empty: it has no bytes")
    return first


def _some(members: tuple[int, ...]) -> str:
    return ", ".join(map(str, members[:20])) + (" ..." if len(members) > 20 else "") or "none"
