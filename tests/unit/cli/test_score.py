"""`gaia score` as somebody meets it: what it prints, what it writes, and what it says of bad input."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner, Result

from gaia.cli.main import app
from tests.support.weather_files import forecast, truth, write


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


def test_what_looks_wrong_is_said_on_stderr(files: tuple[Path, Path], tmp_path: Path) -> None:
    celsius = truth()
    celsius["2t"] = celsius["2t"] - np.float32(273.15)
    done = _run(files[0], write(celsius, tmp_path / "celsius.nc"))
    assert done.exit_code == 0
    assert "gaia: warning:" in done.stderr
    assert "looks like degrees Celsius" in done.stderr


Spoil = Callable[[Path], tuple[Path | str, ...]]


def _spoilt(change: Callable[[xr.Dataset], xr.Dataset], *, of_truth: bool = False, zarr: int | None = None) -> Spoil:
    """The arguments for files of which one was changed before it was written."""

    def arguments(folder: Path) -> tuple[Path | str, ...]:
        fc, an = forecast(), truth()
        fc, an = (fc, change(an)) if of_truth else (change(fc), an)
        return (
            write(fc, folder / "fc", zarr_format=None if of_truth else zarr),
            write(an, folder / "an", zarr_format=zarr if of_truth else None),
        )

    return arguments


def _with(name: str, value: float) -> Callable[[xr.Dataset], xr.Dataset]:
    return lambda data: data.assign({name: data[name] * np.float32(0) + np.float32(value)})


def _in_unit(name: str, unit: str) -> Callable[[xr.Dataset], xr.Dataset]:
    return lambda data: data.assign({name: data[name].assign_attrs(units=unit)})


def _pressure(folder: Path) -> tuple[Path | str, ...]:
    fc, an = forecast()[["2m_temperature"]], truth()[["2t"]]
    fc = fc.rename({"2m_temperature": "msl"}) * 3.6
    an = an.rename({"2t": "msl"}) * 360
    fc["msl"].attrs["units"], an["msl"].attrs["units"] = "hPa", "Pa"
    return write(fc, folder / "fc"), write(an, folder / "an")


def _truncated_chunk(folder: Path) -> tuple[Path | str, ...]:
    fc, an = write(forecast(), folder / "fc", zarr_format=3), write(truth(), folder / "an")
    chunk = max((fc / "2m_temperature" / "c").rglob("*"), key=lambda p: p.stat().st_size if p.is_file() else 0)
    chunk.write_bytes(chunk.read_bytes()[:-40])
    return fc, an


def _cut_netcdf(folder: Path) -> tuple[Path | str, ...]:
    fc = folder / "fc.nc"
    forecast().to_netcdf(fc, format="NETCDF3_64BIT")
    fc.write_bytes(fc.read_bytes()[:-500])
    return fc, write(truth(), folder / "an")


def _empty_store(folder: Path) -> tuple[Path | str, ...]:
    return write(xr.Dataset(), folder / "fc", zarr_format=3), write(truth(), folder / "an")


def _object_array(folder: Path) -> tuple[Path | str, ...]:
    fc = write(forecast(), folder / "fc", zarr_format=2)
    metadata = fc / "2m_temperature" / ".zarray"
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"dtype": "|O", "filters": [{"id": "pickle"}]}))
    return fc, write(truth(), folder / "an")


BAD_INPUT: dict[str, tuple[Spoil, str, int]] = {
    "empty store": (_empty_store, r"fc is empty: it holds no variable", 2),
    "missing file": (lambda folder: (folder / "no", folder / "an"), r"the forecast '.*no' does not exist", 2),
    "missing variable": (
        lambda folder: (*_spoilt(lambda d: d)(folder), "--variables", "q500"),
        r"fc has no field q500; it has 2t, z500, z850",
        2,
    ),
    "no variable in common": (
        _spoilt(lambda d: d[["2t"]].rename({"2t": "msl"}) * np.float32(360), of_truth=True),
        r"fc and .*an have no field in common",
        2,
    ),
    "unequal times": (
        _spoilt(lambda d: d.assign_coords(time=d.time + np.timedelta64(1, "h")), of_truth=True),
        r"an holds 2020-01-01T01Z to 2020-01-02T13Z \(4\), and nothing valid at 2020-01-01T12:00Z, which .*fc",
        2,
    ),
    "lead not there": (
        lambda folder: (*_spoilt(lambda d: d)(folder), "--leads", "12,48"),
        r"fc has no lead 48 h; its leads are 12, 24 h",
        2,
    ),
    "no lead axis": (
        _spoilt(lambda d: d.isel(prediction_timedelta=0, drop=True)),
        r"fc holds 2 instants and no lead time; expected is an axis prediction_timedelta, lead_time or step",
        2,
    ),
    "all NaN forecast": (
        _spoilt(_with("geopotential", np.nan)),
        r"fc: z500 started 2020-01-01T00:00Z \+12 h: the forecast is not finite .*84 of 84",
        1,
    ),
    "infinite forecast": (_spoilt(_with("2m_temperature", np.inf)), r"fc: 2t started .*not finite", 1),
    "all NaN truth": (_spoilt(lambda d: d * np.nan, of_truth=True), r"an: 2t, z500, z850 are missing \(NaN\)", 2),
    "infinite truth": (_spoilt(_with("2t", np.inf), of_truth=True), r"an: 2t valid at .* is infinite at 84 of 84", 2),
    "integers": (
        _spoilt(lambda d: d.astype("i4")),
        r"fc: '\w+' holds int32, not floating-point numbers, nor",
        2,
    ),
    "complex numbers": (_spoilt(lambda d: d.astype("c8"), zarr=3), r"fc: '\w+' holds complex64, not floating-point", 2),
    "objects": (_object_array, r"fc/2m_temperature/.zarray: arrays of type '\|O' are refused", 2),
    "truncated chunk": (_truncated_chunk, r"fc: 2t started .* cannot be read; is the file whole\?", 2),
    "cut NetCDF": (_cut_netcdf, r"fc.nc is cut short", 2),
    "another grid": (
        _spoilt(lambda d: d.isel(lon=slice(0, 6)), of_truth=True),
        r"the truth .*an lies on 7 x 6 points, latitude 90 to -90, longitude 0 to 150, expected 7 x 12 points",
        1,
    ),
    "a unit that is not understood": (
        _spoilt(_in_unit("2m_temperature", "degC")),
        r"fc: '2m_temperature': 2t in unit 'degC' is not understood; known are k, kelvin",
        2,
    ),
    "different units": (_pressure, r"msl is in 'hPa' in .*fc and in 'Pa' in .*an, a factor of 100", 2),
    "bad leads": (lambda folder: (*_spoilt(lambda d: d)(folder), "--leads", "soon"), r"leads must be hours", 2),
    "bad region": (lambda folder: (*_spoilt(lambda d: d)(folder), "--region", "mars"), r"unknown region 'mars'", 2),
    "picture of nothing": (
        lambda folder: (*_spoilt(lambda d: d)(folder), "--png", str(folder / "x.png")),
        r"--png compares with a reference",
        2,
    ),
    "two texts on stdout": (
        lambda folder: (*_spoilt(lambda d: d)(folder), "--json", "-", "--csv", "-"),
        r"only one of --json and --csv",
        2,
    ),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_has_its_own_clear_error(tmp_path: Path, name: str) -> None:
    spoil, expected, status = BAD_INPUT[name]
    done = _run(*spoil(tmp_path))
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == status, done.stderr
    said = done.stderr.strip().splitlines()
    assert len(said) == 1, said
    assert said[0].startswith("gaia: ")
    assert re.search(expected, said[0]), said[0]


def test_a_reversed_order_of_levels_scores_the_same(files: tuple[Path, Path], tmp_path: Path) -> None:
    turned = write(forecast().isel(level=slice(None, None, -1)), tmp_path / "turned.zarr", zarr_format=2)
    assert _run(turned, files[1], "--csv", "-").stdout == _run(*files, "--csv", "-").stdout


def test_a_missing_chunk_is_no_number(files: tuple[Path, Path]) -> None:
    shutil.rmtree(files[0] / "2m_temperature" / "c")
    done = _run(*files)
    assert done.exit_code == 1
    assert "the forecast is not finite" in done.stderr
