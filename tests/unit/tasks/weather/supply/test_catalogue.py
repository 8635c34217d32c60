"""Names of sources, and from when on their data exist."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gaia.tasks.defined_tasks.weather.files.archive import ARCHIVE_HEADER, SourceRole, archive_store
from gaia.tasks.defined_tasks.weather.files.errors import BadSource, StoreMissing
from gaia.tasks.defined_tasks.weather.supply.catalogue import PublicationDelays, SourceRef, available_at, parse_source

INIT = datetime(2017, 1, 1, tzinfo=UTC)
VALID = INIT + timedelta(hours=12)


@pytest.fixture
def grib_file(tmp_path: Path) -> Path:
    path = tmp_path / "era5.grib"
    path.write_bytes(b"GRIB")
    return path


def test_member_is_read_and_written_back(grib_file: Path) -> None:
    source = parse_source(f"grib:{grib_file}?member=3")
    assert source == SourceRef(format="grib", path=str(grib_file), member=3)
    assert parse_source(str(source)) == source


def test_relative_path_becomes_absolute(grib_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(grib_file.parent)
    assert parse_source("era5.grib").path == str(grib_file)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.grb2", b"", "grib"),
        ("a.NC", b"", "netcdf"),
        ("a.cdf", b"", "netcdf"),
        ("a.bin", b"GRIB....", "grib"),
        ("noend", b"CDF\x02....", "netcdf"),
        ("noend", b"\x89HDF....", "netcdf"),
    ],
)
def test_format_is_guessed_from_suffix_or_content(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert parse_source(str(tmp_path / name)).format == expected


def test_folder_with_the_archive_header_is_an_archive(tmp_path: Path) -> None:
    (tmp_path / ARCHIVE_HEADER).write_text("{}")
    assert parse_source(str(tmp_path)).format == "archive"
    assert parse_source(f"archive:{tmp_path}").format == "archive"


@pytest.mark.parametrize(
    ("text", "error", "cause"),
    [
        ("grib:{folder}/absent.grib", StoreMissing, "does not exist"),
        ("{folder}/absent.grib", StoreMissing, "does not exist"),
        ("grib:", BadSource, "needs a path"),
        ("", BadSource, "needs a path"),
        ("zip:{folder}", BadSource, "no source format 'zip'; use archive:, grib:, netcdf:"),
        ("archive:{folder}", BadSource, "has no archive.json"),
        ("{folder}", BadSource, "has no archive.json"),
        ("grib:{folder}", BadSource, "is not a file"),
        ("{folder}/text", BadSource, "neither GRIB, NetCDF nor an archive"),
        ("netcdf:{folder}/text?member=1", BadSource, "only a GRIB source has members"),
        ("grib:{folder}/text?member=one", BadSource, "only member=NUMBER"),
    ],
)
def test_bad_source_text_names_cause(tmp_path: Path, text: str, error: type[Exception], cause: str) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(error, match=cause):
        parse_source(text.format(folder=tmp_path))


def test_archive_layout() -> None:
    def store(role: SourceRole) -> str:
        return str(archive_store("/a", role, valid_time=VALID, init_time=INIT, lead_h=12))

    assert store(SourceRole.TRUTH) == store(SourceRole.ANALYSIS) == "/a/truth/20170101T12Z"
    assert store(SourceRole.REFERENCE) == "/a/reference/20170101T00Z/012h"
    assert store(SourceRole.CLIMATOLOGY) == "/a/climatology/0101T12Z"
    with pytest.raises(BadSource, match="init_time and lead_h"):
        archive_store("/a", SourceRole.REFERENCE, valid_time=VALID)


def test_data_exist_only_after_their_publication_delay() -> None:
    assert available_at(SourceRole.TRUTH, VALID) == datetime(2017, 1, 6, 12, tzinfo=UTC)
    assert available_at(SourceRole.ANALYSIS, VALID) == datetime(2017, 1, 1, 17, tzinfo=UTC)
    assert available_at(SourceRole.REFERENCE, INIT) == datetime(2017, 1, 1, 5, tzinfo=UTC)
    assert available_at(SourceRole.CLIMATOLOGY, VALID) < datetime(1900, 1, 1, tzinfo=UTC)
    assert available_at(SourceRole.TRUTH, VALID, PublicationDelays(truth_h=0.0)) == VALID


def test_catalog_and_payloads_import_no_numerics() -> None:
    script = (
        "import sys, gaia.tasks.defined_tasks.weather.supply.catalogue, "
        "gaia.tasks.defined_tasks.weather.supply.decode_payloads\n"
        "print([m for m in ('numpy', 'xarray', 'eccodes', 'netCDF4') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
