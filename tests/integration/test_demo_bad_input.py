"""Bad input to `gaia demo`: one line with cause and fix, exit status 2, nothing made and nothing left running."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gaia.cli.main import app
from tests.support.demo_process import public_folder
from tests.support.disks import tmpfs_of
from tests.support.real_data import CLIMATOLOGY, ERA5_GRIB, GFS_GRIB, REAL_DATA, needs_real_data
from tests.support.waiting import children_of

MISUSED = 2
Refusal = Callable[..., str]


@pytest.fixture
def folder() -> Iterator[Path]:
    with public_folder("gaia-bad-") as made:
        yield made


@pytest.fixture
def refusal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Refusal:
    """Plays with bad options; the one line that is said, once it is sure that nothing has been made or started."""
    temporary = folder / "tmp"
    temporary.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    running = set(children_of(os.getpid()))  # a server of other tests

    def play(*options: str) -> str:
        done = CliRunner().invoke(app, ["demo", *options])
        assert done.exit_code == MISUSED, done.output
        assert done.stdout == ""
        assert done.stderr.startswith("gaia: ")
        assert len(done.stderr.splitlines()) == 1
        assert list(temporary.iterdir()) == []
        assert set(children_of(os.getpid())) <= running
        return done.stderr.strip()

    return play


def test_truth_that_does_not_exist(folder: Path, refusal: Refusal) -> None:
    said = refusal("--truth", "nothing.grib")
    assert said == f"gaia: {folder}/nothing.grib does not exist; give the path of a weather source"


def test_truth_of_an_unknown_kind(folder: Path, refusal: Refusal) -> None:
    (folder / "notes.txt").write_text("hello", encoding="utf-8")
    assert "is neither GRIB, NetCDF nor an archive" in refusal("--truth", "notes.txt")


def test_truth_that_is_no_grib_despite_its_name(folder: Path, refusal: Refusal) -> None:
    (folder / "notes.grib").write_text("hello", encoding="utf-8")
    assert "notes.grib holds no GRIB message" in refusal("--truth", "notes.grib")


def test_member_without_truth(folder: Path, refusal: Refusal) -> None:
    assert "describe --truth; give it too" in refusal("--member", "3")


def test_result_file_in_a_folder_that_does_not_exist(folder: Path, refusal: Refusal) -> None:
    said = refusal("--json", "nowhere/result.json")
    assert f"there is no folder {folder}/nowhere; make it, or name another file" in said


def test_result_file_that_is_a_folder(folder: Path, refusal: Refusal) -> None:
    assert "that is a folder; name a file" in refusal("--json", ".")


def test_data_folder_that_holds_something_is_left_as_it_is(folder: Path, refusal: Refusal) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "diary").write_text("dear diary", encoding="utf-8")
    assert "is not empty: give a new folder" in refusal("--data-dir", "mine")
    assert [path.name for path in (folder / "mine").iterdir()] == ["diary"]


def test_data_folder_that_is_a_file(folder: Path, refusal: Refusal) -> None:
    (folder / "file").touch()
    assert "File exists; give a folder that can be written, with --data-dir" in refusal("--data-dir", "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; a read-only mount is tested instead")
def test_data_folder_without_permission(folder: Path, refusal: Refusal) -> None:
    (folder / "locked").mkdir(mode=0o500)
    assert "Permission denied; give a folder that can be written" in refusal("--data-dir", "locked/data")


def test_read_only_data_folder(folder: Path, refusal: Refusal) -> None:
    with tmpfs_of(folder / "disk", "size=1m,ro") as disk:
        said = refusal("--data-dir", str(disk))
    assert said.endswith("Read-only file system; give a folder that can be written, with --data-dir")


def test_full_data_folder(folder: Path, refusal: Refusal) -> None:
    with tmpfs_of(folder / "disk", "size=1m") as disk:
        said = refusal("--data-dir", str(disk))
    assert "MB free, the demonstration needs 1000: free some space, or give another folder" in said


@needs_real_data
@pytest.mark.real_data
class TestRealFiles:
    def test_grib_that_is_cut_short(self, folder: Path, refusal: Refusal) -> None:
        with ERA5_GRIB.open("rb") as whole:
            (folder / "cut.grib").write_bytes(whole.read(100_000))
        said = refusal("--truth", "cut.grib", "--member", "0")
        assert "cut.grib is cut short or damaged: field 7, from byte 88560 of 100000" in said
        assert said.endswith("fetch the file again")

    def test_member_that_the_file_does_not_hold(self, folder: Path, refusal: Refusal) -> None:
        said = refusal("--truth", str(ERA5_GRIB), "--member", "77")
        assert "has no member 77; it has [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]" in said

    def test_ensemble_of_which_no_member_is_named(self, folder: Path, refusal: Refusal) -> None:
        assert "say which one, like ?member=0" in refusal("--truth", str(ERA5_GRIB))

    def test_truth_of_a_single_time(self, folder: Path, refusal: Refusal) -> None:
        said = refusal("--truth", str(GFS_GRIB))
        assert "holds 1 time(s); a run needs one to start from and one to score" in said

    def test_truth_without_known_axes(self, folder: Path, refusal: Refusal) -> None:
        assert "has no time axis" in refusal("--truth", str(REAL_DATA / "ncep" / "Pstorm.cdf"))

    def test_climatology_without_the_wanted_fields(self, folder: Path, refusal: Refusal) -> None:
        wind = REAL_DATA / "ecmwf" / "t500_0p25_20260310T00_step0.grib2"
        said = refusal("--truth", str(ERA5_GRIB), "--member", "0", "--climatology", str(wind))
        assert "a climatology must be an archive or NetCDF, not GRIB" in said

    def test_climatology_that_is_none(self, folder: Path, refusal: Refusal) -> None:
        (folder / "notes.nc").write_text("hello", encoding="utf-8")
        said = refusal("--truth", str(ERA5_GRIB), "--member", "0", "--climatology", "notes.nc")
        assert "notes.nc cannot be read as NetCDF" in said

    def test_climatology_on_other_points(self, folder: Path, refusal: Refusal) -> None:
        """Truth at 10 degrees and one whose points a 0.75 degree grid does not hold."""
        truth = REAL_DATA / "ecmwf" / "hres_ztruv_6lev_10deg_20240603T00-0604T12_step0-6.grib"
        said = refusal("--truth", str(truth), "--climatology", str(CLIMATOLOGY))
        assert "eraint_uvz_jan_jul_0p75.nc" in said
