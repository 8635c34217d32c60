"""From the text that names a file to a series: flat store, archive, GRIB, Zarr or NetCDF, with or without a member.

Owns the choice of the reader. Reads nothing but what tells the formats apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from glob import glob
from pathlib import Path

from gaia.tasks.defined_tasks.weather.files.archive import ARCHIVE_HEADER, SourceRole
from gaia.tasks.defined_tasks.weather.files.errors import BadSource, MissingMember, StoreMissing
from gaia.tasks.defined_tasks.weather.files.file_kind import is_grib
from gaia.tasks.defined_tasks.weather.files.series.joined_series import JoinedSeries
from gaia.tasks.defined_tasks.weather.files.series.series import Series
from gaia.tasks.defined_tasks.weather.files.store.flat_store import HEADER_NAME

FORECAST = "forecast"
TRUTH = "truth"
CLIMATOLOGY = "climatology"
REFERENCE = "reference"
EXTREMES = "extremes"

# What a part of our own archives is when it is named as ...
_ARCHIVE_ROLES: Mapping[str, SourceRole] = {
    FORECAST: SourceRole.REFERENCE,  # an archive's only forecast
    TRUTH: SourceRole.TRUTH,
    CLIMATOLOGY: SourceRole.CLIMATOLOGY,
    REFERENCE: SourceRole.REFERENCE,
    EXTREMES: SourceRole.CLIMATOLOGY,
}
_PREFIX = re.compile(r"(archive|grib|netcdf|zarr):(?=.)")


def open_series(texts: Sequence[str], what: str) -> tuple[Series, int | None]:
    """The series that `path`, `grib:path?member=0`, `month_*.nc` and the like name together, and the member asked for.

    what: one of FORECAST, TRUTH, CLIMATOLOGY, REFERENCE, EXTREMES. Raises StoreMissing, BadSource, MissingMember, and
    what reading the headers of the format raises.
    """
    split = [_split_member(text if Path(text).exists() else _PREFIX.sub("", text)) for text in texts]
    if len({member for _, member in split}) != 1:
        raise BadSource(f"the {what}s must all be of one member: {', '.join(texts)}")
    paths = [path for body, _ in split for path in _paths(body, what)]
    member = split[0][1]
    series = _open(paths[0], what) if len(paths) == 1 else JoinedSeries([_open(path, what) for path in paths])
    _check_member(series, member, what)
    return series, member


def _paths(text: str, what: str) -> list[Path]:
    """The path itself, or all that match a pattern, by name."""
    path = Path(text).expanduser()
    if text and path.exists():
        return [path]
    found = sorted(glob(str(path))) if text else []  # noqa: PTH207  Path.glob takes no absolute pattern
    if not found:
        raise StoreMissing(f"the {what} {text!r} does not exist; give the path of a Zarr, NetCDF, GRIB or flat store")
    return [Path(name) for name in found]


def _open(path: Path, what: str) -> Series:
    if (path / HEADER_NAME).is_file():
        from gaia.tasks.defined_tasks.weather.files.series.flat_series import single_store

        return single_store(path)
    if (path / ARCHIVE_HEADER).is_file():
        from gaia.tasks.defined_tasks.weather.files.series.flat_series import archive_part

        return archive_part(path, _ARCHIVE_ROLES[what])
    if is_grib(path):
        from gaia.tasks.defined_tasks.weather.files.series.grib_series import GribSeries

        return GribSeries(path)
    from gaia.tasks.defined_tasks.weather.files.series.xarray_series import XarraySeries

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


def _some(members: tuple[int, ...]) -> str:
    return ", ".join(map(str, members[:20])) + (" ..." if len(members) > 20 else "") or "none"
