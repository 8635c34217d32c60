"""Names of weather sources: which source serves which role, and from when on its data exist.

Imported by the IO-Engine: no numpy, no reading of data.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, assert_never, get_args

from msgspec import Struct

from gaia.tasks.defined_tasks.weather.files.archive import ARCHIVE_HEADER, SourceRole
from gaia.tasks.defined_tasks.weather.files.errors import BadSource, StoreMissing
from gaia.tasks.defined_tasks.weather.files.safe_open import open_regular

SourceFormat = Literal["archive", "grib", "netcdf"]

_SUFFIXES: dict[str, SourceFormat] = {
    ".grib": "grib", ".grib1": "grib", ".grib2": "grib", ".grb": "grib", ".grb2": "grib", ".gb2": "grib",
    ".nc": "netcdf", ".nc4": "netcdf", ".cdf": "netcdf",
}  # fmt: skip
_MAGIC: dict[bytes, SourceFormat] = {
    b"GRIB": "grib",
    b"CDF\x01": "netcdf",
    b"CDF\x02": "netcdf",
    b"\x89HDF": "netcdf",
}


class SourceRef(Struct, frozen=True, kw_only=True):
    """One file or archive."""

    format: SourceFormat
    path: str
    member: int | None = None
    """Ensemble member (GRIB `number`); None where the data have none."""

    def __str__(self) -> str:
        """The text that `parse_source` reads."""
        return f"{self.format}:{self.path}" + ("" if self.member is None else f"?member={self.member}")


class SourceSet(Struct, frozen=True, kw_only=True):
    """The sources of one run, as stored with it."""

    truth: SourceRef
    reference: SourceRef | None = None
    climatology: SourceRef | None = None


class PublicationDelays(Struct, frozen=True, kw_only=True):
    """How long after an instant its data can be had."""

    truth_h: float = 120.0
    """ERA5T follows about 5 days behind real time (https://confluence.ecmwf.int/display/CKB/ERA5)."""
    analysis_h: float = 5.0
    """GFS files of a cycle are complete on NOAA's servers about 5 hours after its hour."""
    reference_h: float = 5.0
    """As the analysis; counted from the forecast's init_time."""


def available_at(role: SourceRole, of_time: datetime, delays: PublicationDelays | None = None) -> datetime:
    """The world time from which on a role's data exist.

    `of_time` is the valid time; for a reference its init_time.
    """
    known = delays or PublicationDelays()
    match role:
        case SourceRole.TRUTH:
            return of_time + timedelta(hours=known.truth_h)
        case SourceRole.ANALYSIS:
            return of_time + timedelta(hours=known.analysis_h)
        case SourceRole.REFERENCE:
            return of_time + timedelta(hours=known.reference_h)
        case SourceRole.CLIMATOLOGY:
            return datetime.min.replace(tzinfo=UTC)
        case _:
            assert_never(role)


def parse_source(text: str) -> SourceRef:
    """The source that `grib:/path?member=0`, `netcdf:/path`, `archive:/path` or a bare path names.

    Relative paths are taken from the current folder and made absolute. Raises BadSource, or StoreMissing.
    """
    body, member = _split_member(text)
    prefix, colon, rest = body.partition(":")
    if colon and prefix in get_args(SourceFormat):
        path = _existing(rest)
        source_format = next(name for name in get_args(SourceFormat) if name == prefix)
        _check_kind(path, source_format)
    elif colon and not Path(body).exists():
        raise BadSource(f"{text!r}: no source format {prefix!r}; use archive:, grib:, netcdf: or the path of a file")
    else:
        path = _existing(body)
        source_format = _guess_format(path)
    if member is not None and source_format != "grib":
        raise BadSource(f"{text!r}: only a GRIB source has members; leave out ?member={member}")
    return SourceRef(format=source_format, path=str(path), member=member)


def _split_member(text: str) -> tuple[str, int | None]:
    body, question, query = text.rpartition("?")
    if not question:
        return text, None
    match = re.fullmatch(r"member=(\d{1,4})", query)
    if match is None:
        raise BadSource(f"{text!r}: after ? only member=NUMBER is understood")
    return body, int(match[1])


def _existing(text: str) -> Path:
    if not text:
        raise BadSource("a source needs a path, such as grib:/data/era5.grib?member=0")
    path = Path(text).expanduser().absolute()
    if not path.exists():
        raise StoreMissing(f"{path} does not exist; give the path of a weather source")
    return path


def _check_kind(path: Path, source_format: SourceFormat) -> None:
    if source_format == "archive" and not (path / ARCHIVE_HEADER).is_file():
        raise BadSource(f"{path} is not an archive: it has no {ARCHIVE_HEADER}")
    if source_format != "archive" and not path.is_file():
        raise BadSource(f"{path} is not a file; {source_format} was expected")


def _guess_format(path: Path) -> SourceFormat:
    if path.is_dir():
        _check_kind(path, "archive")
        return "archive"
    by_suffix = _SUFFIXES.get(path.suffix.lower())
    if by_suffix is not None:
        return by_suffix
    try:
        with open_regular(path) as file:
            by_content = _MAGIC.get(file.read(4))
    except OSError as error:
        raise StoreMissing(f"{path} cannot be read: {error.strerror}") from None
    if by_content is None:
        raise BadSource(f"{path} is neither GRIB, NetCDF nor an archive; say which: grib:{path}")
    return by_content
