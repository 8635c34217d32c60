"""`gaia score` as somebody meets it: what it prints, what it writes, and what it says of bad input."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from gaia.cli.main import app
from tests.support.weather_files import forecast, truth, with_winds, write


def _run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["score", *map(str, words)])


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A forecast 1 K and 100 m2 s-2 too high, and its truth."""
    return write(forecast(), tmp_path / "fc.zarr", zarr_format=3), write(truth(), tmp_path / "an.nc")


def test_it_prints_the_table_by_variable_and_lead(files: tuple[Path, Path]) -> None:
    done = _run(*files)
    assert done.exit_code == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0][:5] == ["field", "unit", "lead", "cases", "RMSE"]
    assert rows[1][:6] == ["2t", "K", "12", "h", "2", "1"]
    assert rows[2][:4] == ["24", "h", "2", "1"]
    assert rows[3][0] == "z500"
    assert done.stderr == ""


def test_leads_and_variables_are_chosen(files: tuple[Path, Path]) -> None:
    done = _run(*files, "--leads", "24", "--variables", "z850,t2m", "--csv", "-")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["variable"], row["level_hpa"], row["lead_h"]) for row in rows] == [
        ("2t", "", "24.0"),
        ("z", "850", "24.0"),
    ]


def test_json_on_stdout_is_nothing_but_json(files: tuple[Path, Path]) -> None:
    said = json.loads(_run(*files, "--json", "-").stdout)
    assert len(said["scores"]) == 6
    assert said["scores"][0]["bias"] == pytest.approx(1.0, abs=1e-4)


@pytest.mark.slow
def test_files_and_picture_are_written(files: tuple[Path, Path], tmp_path: Path) -> None:
    rival = write(forecast(wrong_k=2.0), tmp_path / "ref.nc")
    done = _run(
        *files,
        "--reference",
        rival,
        "--json",
        tmp_path / "s.json",
        "--csv",
        tmp_path / "s.csv",
        "--png",
        tmp_path / "s.png",
    )
    assert done.exit_code == 0, done.stderr
    assert json.loads((tmp_path / "s.json").read_text())["scores"][0]["skill_ref"] == pytest.approx(0.75, abs=1e-3)
    assert (tmp_path / "s.csv").read_text().startswith("variable,level_hpa,lead_h,region,unit,cases,")
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    assert "-50.0 %" in done.stdout


@pytest.mark.parametrize("option", ["--json", "--csv", "--png"])
def test_where_nothing_can_be_written_nothing_is_scored(
    files: tuple[Path, Path], tmp_path: Path, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gaia.cli.score._evaluate", lambda _: pytest.fail("scored"))
    for path, why in ((tmp_path / "absent" / "out", "No such file or directory"), (tmp_path, "Is a directory")):
        done = _run(*files, "--climatology", files[1], option, path)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr == f"gaia: cannot write {path}: {why}\n"


def test_what_looks_wrong_is_said_on_stderr(files: tuple[Path, Path], tmp_path: Path) -> None:
    celsius = truth()
    celsius["2t"] = celsius["2t"] - np.float32(273.15)
    done = _run(files[0], write(celsius, tmp_path / "celsius.nc"))
    assert done.exit_code == 0
    assert "gaia: warning:" in done.stderr
    assert "looks like degrees Celsius" in done.stderr


@pytest.mark.parametrize("zarr_format", [None, 2, 3])
def test_a_reversed_order_of_levels_scores_the_same(
    files: tuple[Path, Path], tmp_path: Path, zarr_format: int | None
) -> None:
    turned = write(forecast().isel(level=slice(None, None, -1)), tmp_path / "turned", zarr_format=zarr_format)
    assert _run(turned, files[1], "--csv", "-").stdout == _run(*files, "--csv", "-").stdout


def test_several_forecasts_are_merged(files: tuple[Path, Path], tmp_path: Path) -> None:
    parts = [write(forecast((start,)), tmp_path / f"part_{start:02}.nc") for start in (0, 12)]
    whole = _run(*files, "--csv", "-").stdout
    assert _run(*parts, files[1], "--csv", "-").stdout == whole
    assert _run(tmp_path / "part_*.nc", files[1], "--csv", "-").stdout == whole


def test_land_wind_and_extremes_are_in_the_table_and_the_files(tmp_path: Path) -> None:
    fc = write(with_winds(forecast(wrong_z=0.0), added_u=3.0, added_v=4.0), tmp_path / "fc", zarr_format=2)
    an = write(with_winds(truth()), tmp_path / "an.nc")
    usual = write(with_winds(truth((0,))).isel(time=0, drop=True), tmp_path / "p95.nc")
    east = (truth()["2t"].isel(time=0, drop=True).lon < 180.0).astype("f4")
    mask = write(east.broadcast_like(truth()["2t"][0, :, :]).to_dataset(name="lsm"), tmp_path / "lsm.nc")
    words = (fc, an, "--mask", mask, "--extremes", usual, "--variables", "wind850", "--leads", "12")
    done = _run(*words, "--json", tmp_path / "s.json")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[0].split()[-4:] == ["hit", "rate", "false", "al."]
    said = json.loads((tmp_path / "s.json").read_text())
    assert (said["mask"], said["extremes"]) == (str(mask), str(usual))
    found = {(row["variable"], row["region"]): row for row in said["scores"]}
    assert [region for name, region in found if name == "wind"] == ["global", "land", "sea"]
    assert found["wind", "land"]["rmse"] == pytest.approx(5.0, abs=1e-3)
    assert found["wind", "land"]["bias"] is None
    assert found["u", "sea"]["extremes_hit_rate"] == 1.0
