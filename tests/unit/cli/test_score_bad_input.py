"""What `gaia score` says of files that cannot be scored: each kind its own line, in every format it can come in."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from gaia.cli.main import app
from tests.support.weather_files import LATITUDE, LONGITUDE, forecast, truth, write

FORMATS = pytest.mark.parametrize("zarr_format", [None, 2, 3], ids=["NetCDF", "Zarr 2", "Zarr 3"])
Change = Callable[[xr.Dataset], xr.Dataset]
Words = tuple[Path | str, ...]
Spoil = Callable[[Path, Path, Path], Words]
"""(an empty folder, a good forecast, a good truth) -> the words of the command."""


@pytest.fixture(scope="module", name="fc")
def good_forecast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(forecast(), tmp_path_factory.mktemp("good") / "fc")


@pytest.fixture(scope="module", name="an")
def good_truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(truth(), tmp_path_factory.mktemp("good") / "an")


def assert_refused(words: Words, expected: str, status: int) -> None:
    """One line on stderr, and no traceback."""
    done = CliRunner().invoke(app, ["score", *map(str, words)])
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == status, done.stderr
    said = done.stderr.strip().splitlines()
    assert len(said) == 1, said
    assert said[0].startswith("gaia: ")
    assert re.search(expected, said[0]), said[0]


def _with(name: str, value: float) -> Change:
    return lambda data: data.assign({name: data[name] * np.float32(0) + np.float32(value)})


def _one_value(name: str, value: float) -> Change:
    def change(data: xr.Dataset) -> xr.Dataset:
        data[name][1, 0, ..., 2, 3] = value
        return data

    return change


def _in_unit(name: str, unit: str) -> Change:
    return lambda data: data.assign({name: data[name].assign_attrs(units=unit)})


def usual(data: xr.Dataset) -> xr.Dataset:
    return truth((0,)).isel(time=0, drop=True)


BAD_FORECASTS: dict[str, tuple[Change, str, int]] = {
    "empty store": (lambda _: xr.Dataset(), r"bad is empty: it holds no variable", 2),
    "no variable": (lambda d: d[["time", "latitude"]], r"bad has 0 coordinates of longitude", 2),
    "unknown variable": (
        lambda d: d[["2m_temperature"]].rename({"2m_temperature": "rain"}),
        r"bad has no variable of the table \(2t, msl, .*; it has .*rain",
        2,
    ),
    "no instants": (lambda d: d.isel(time=slice(0, 0)), r"bad is empty: '\w+' has shape \(0, ", 2),
    "no latitudes": (lambda d: d.isel(latitude=slice(0, 0)), r"bad, axis 'latitude' is empty; finite degrees", 2),
    "latitudes in disorder": (
        lambda d: d.assign_coords(latitude=LATITUDE[[0, 2, 1, 3, 4, 5, 6]]),
        r"bad: latitude must rise or fall strictly",
        2,
    ),
    "the same lead twice": (
        lambda d: d.isel(prediction_timedelta=[0, 0]),
        r"bad holds 2 fields started 2020-01-01T00:00Z \+12 h; one is expected",
        2,
    ),
    "all NaN": (
        _with("geopotential", np.nan),
        r"bad: z500 started 2020-01-01T00:00Z \+12 h: the forecast is not finite .*84 of 84",
        1,
    ),
    "infinite": (_one_value("2m_temperature", np.inf), r"bad: 2t started .*1 of 84 values are NaN or inf", 1),
    "integers": (lambda d: d.astype("i4"), r"bad: '\w+' holds int32, not floating-point numbers, and is not packed", 2),
    "truth values": (lambda d: d > 0, r"bad: '\w+' holds bool, not floating-point", 2),
    "strings": (
        lambda d: d[["2m_temperature"]].isel(time=[0]).astype("U6"),
        r"bad: '2m_temperature' holds <U6, not floating-point",
        2,
    ),
    "unequal times": (
        lambda d: d.assign_coords(time=d.time + np.timedelta64(1, "h")),
        r"an holds 2020-01-01T00Z to 2020-01-02T12Z \(4\), and nothing valid at 2020-01-01T13:00Z, which .*bad",
        2,
    ),
    "no lead axis": (
        lambda d: d.isel(prediction_timedelta=0, drop=True),
        r"bad holds 2 instants and no lead time; expected is an axis prediction_timedelta, lead_time or step",
        2,
    ),
    "a time that is missing": (
        lambda d: d.assign_coords(time=[np.datetime64("NaT", "ns"), np.datetime64("2020-01-01", "ns")]),
        r"bad, axis 'time': a time is missing",
        2,
    ),
    "levels that are words": (
        lambda d: d.assign_coords(level=["low", "high"]),
        r"bad, axis 'level': levels of type <U4 are not understood",
        2,
    ),
    "a lead that is missing": (
        lambda d: d.assign_coords(prediction_timedelta=np.array([12, "NaT"], "m8[h]").astype("m8[ns]")),
        r"bad, axis 'prediction_timedelta': a lead time is missing \(NaT\)",
        2,
    ),
    "leads beyond all bounds": (
        lambda d: d.assign_coords(prediction_timedelta=("prediction_timedelta", [1.0, 1e300], {"units": "days"})),
        r"bad, axis 'prediction_timedelta': a lead time is missing \(NaT\), or beyond all bounds",
        2,
    ),
    "leads that end after all years": (
        lambda d: d.assign_coords(prediction_timedelta=("prediction_timedelta", [1.0, 4e6], {"units": "days"})),
        r"bad: its times and lead times lead beyond the year 9999",
        2,
    ),
    "leads into the past": (
        lambda d: d.assign_coords(prediction_timedelta=-d.prediction_timedelta),
        r"bad, axis 'prediction_timedelta': a lead time of -24 h lies before the start",
        2,
    ),
    "a latitude that is missing": (
        lambda d: d.assign_coords(latitude=[90, 60, np.nan, 0, -30, -60, -90]),
        r"bad, axis 'latitude' is not finite everywhere",
        2,
    ),
    "a meridian twice": (
        lambda d: d.isel(longitude=[*range(12), 0]).assign_coords(longitude=np.arange(13) * 30.0),
        r"7 x 12 points, .* expected 7 x 13 points, latitude 90 to -90, longitude 0 to 360",
        1,
    ),
    "a member twice": (
        lambda d: xr.concat([d, d], "number").assign_coords(number=[1, 1]),
        r"bad, axis 'number' holds a member more than once",
        2,
    ),
    "a unit that is no text": (
        lambda d: d.assign({"2m_temperature": d["2m_temperature"].assign_attrs(units=5)}),
        r"bad: '2m_temperature': its attribute units is .*5.*; a text is expected",
        2,
    ),
    "an axis with a unit that is no text": (
        lambda d: d.assign_coords(level=d.level.assign_attrs(units=[1, 2])),
        r"bad, axis 'level': its attribute units is .*1.*2.*; a text is expected",
        2,
    ),
    "a unit that is not understood": (
        _in_unit("2m_temperature", "degC"),
        r"bad: '2m_temperature': 2t in unit 'degC' is not understood; known are k, kelvin",
        2,
    ),
}


@pytest.mark.filterwarnings("ignore:The data type")  # strings in Zarr 3 have no specification yet
@FORMATS
@pytest.mark.parametrize("kind", BAD_FORECASTS)
def test_a_bad_forecast_has_its_own_error(tmp_path: Path, an: Path, kind: str, zarr_format: int | None) -> None:
    change, expected, status = BAD_FORECASTS[kind]
    bad = write(change(forecast()), tmp_path / "bad", zarr_format=zarr_format)
    assert_refused((bad, an), expected, status)


_OTHER_GRID = r"bad lies on 4 x 12 points, latitude 90 to -90, longitude 0 to 330, expected 7 x 12 points"
BAD_PARTNERS: dict[str, tuple[str, Change, str, int]] = {
    "truth on another grid": (
        "truth",
        lambda _: truth().isel(lat=slice(None, None, 2)),
        f"the truth .*{_OTHER_GRID}",
        1,
    ),
    "truth all NaN": ("truth", lambda d: d * np.nan, r"bad: 2t, z500, z850 are missing \(NaN\)", 2),
    "truth infinite": ("truth", _with("2t", np.inf), r"bad: 2t valid at .* is infinite at 84 of 84", 2),
    "truth of something else": (
        "truth",
        lambda d: d[["2t"]].rename({"2t": "msl"}) * np.float32(360),
        r"fc and .*bad have no field in common",
        2,
    ),
    "climatology on another grid": (
        "--climatology",
        lambda d: usual(d).isel(lat=slice(None, None, 2)),
        f"the climatology .*{_OTHER_GRID}",
        1,
    ),
    "climatology of another month": (
        "--climatology",
        lambda _: truth((0,)).rename(time="month").assign_coords(month=[2]),
        r"the climatology .*bad has 0 fields for 2020-01-01T12:00Z; expected is one",
        2,
    ),
    "climatology that counts days from 0": (
        "--climatology",
        lambda _: truth((0, 12, 24)).rename(time="dayofyear").assign_coords(dayofyear=[0, 1, 2]),
        r"bad, axis 'dayofyear' reaches from 0 to 2; 1 to 366 are expected",
        2,
    ),
    "climatology that counts hours from 1": (
        "--climatology",
        lambda _: truth((0, 12)).rename(time="hour").assign_coords(hour=[12, 24]),
        r"bad, axis 'hour' reaches from 12 to 24; 0 to 23 are expected",
        2,
    ),
    "reference of another start": (
        "--reference",
        lambda _: forecast((240,)),
        r"the reference .*bad has none of the instants of .*fc",
        2,
    ),
    "extremes that are a series": (
        "--extremes",
        lambda d: d,
        r"the extremes .*bad has 0 fields for 2020-01-01T12:00Z; expected is one",
        2,
    ),
    "mask on another grid": (
        "--mask",
        lambda _: xr.Dataset({"lsm": (("lat", "lon"), np.ones((4, 12)))}, {"lat": LATITUDE[::2], "lon": LONGITUDE}),
        f"the mask .*{_OTHER_GRID}",
        1,
    ),
    "mask that is none": ("--mask", lambda d: d, r"bad has no land-sea mask called lsm .*; it has 2t, z;", 2),
}


@pytest.mark.parametrize("kind", BAD_PARTNERS)
def test_what_does_not_fit_the_forecast_has_its_own_error(tmp_path: Path, fc: Path, an: Path, kind: str) -> None:
    role, change, expected, status = BAD_PARTNERS[kind]
    bad = write(change(truth()), tmp_path / "bad", zarr_format=2)
    words: Words = (fc, bad) if role == "truth" else (fc, an, role, bad)
    assert_refused(words, expected, status)


def _largest_chunk(store: Path) -> Path:
    files = (path for path in (store / "2m_temperature").rglob("*") if path.is_file())
    return max((path for path in files if not path.name.startswith((".z", "zarr"))), key=lambda p: p.stat().st_size)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("left", [40, 0])
def test_a_truncated_chunk_is_told(tmp_path: Path, an: Path, zarr_format: int, left: int) -> None:
    bad = write(forecast(), tmp_path / "bad", zarr_format=zarr_format)
    chunk = _largest_chunk(bad)
    chunk.write_bytes(chunk.read_bytes()[:left])
    assert_refused((bad, an), r"bad: 2t started .* cannot be read; is the file whole\?", 2)


def _files_of(store: Path, name: str) -> list[Path]:
    return [path for path in sorted((store / name).rglob("*")) if path.is_file()]


def _is_metadata(path: Path) -> bool:
    return path.name.startswith((".z", "zarr"))


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("fill", [0.0, "NaN"])
def test_a_chunk_that_was_never_written_is_named_whatever_it_would_be_filled_with(
    tmp_path: Path, an: Path, fill: float | str, zarr_format: int
) -> None:
    name = "2m_temperature"
    bad = write(forecast(), tmp_path / "bad", zarr_format=zarr_format)
    metadata = bad / name / (".zarray" if zarr_format == 2 else "zarr.json")
    text = json.loads(metadata.read_text()) | {"fill_value": fill}
    text.get("attributes", {}).pop("_FillValue", None)  # by which xarray, but nobody else, would make NaN of it
    metadata.write_text(json.dumps(text))
    for path in _files_of(bad, name):
        if not _is_metadata(path):
            path.unlink()
    assert_refused((bad, an), rf"bad: 2t .*chunk (c/)?0[./]0.* of .*bad/{name} is missing; nothing is filled in", 2)


def test_a_mask_with_a_chunk_missing_makes_no_sea_of_it(tmp_path: Path, fc: Path, an: Path) -> None:
    land = xr.Dataset({"lsm": (("lat", "lon"), np.ones((7, 12)))}, {"lat": LATITUDE, "lon": LONGITUDE})
    mask = write(land.astype("i1"), tmp_path / "mask", zarr_format=2)
    (mask / "lsm" / "0.0").unlink()
    assert_refused((fc, an, "--mask", mask), r"chunk 0\.0 of .*mask/lsm is missing; nothing is filled in", 2)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("kind", ["chunk", "coordinate", "metadata"])
def test_a_pipe_in_a_store_is_not_waited_for(tmp_path: Path, an: Path, zarr_format: int, kind: str) -> None:
    bad = write(forecast(), tmp_path / "bad", zarr_format=zarr_format)
    files = _files_of(bad, "latitude" if kind == "coordinate" else "2m_temperature")
    victim = next(path for path in files if _is_metadata(path) is (kind == "metadata"))
    victim.unlink()
    os.mkfifo(victim)
    assert_refused((bad, an), rf"{re.escape(str(victim))} is neither a file nor a folder", 2)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_socket_in_a_store_is_refused(tmp_path: Path, an: Path, zarr_format: int) -> None:
    bad = write(forecast(), tmp_path / "bad", zarr_format=zarr_format)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(bad / "s"))
        assert_refused((bad, an), r"bad/s is neither a file nor a folder", 2)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("position", range(4))
def test_a_pipe_for_a_file_is_not_waited_for(tmp_path: Path, fc: Path, an: Path, position: int) -> None:
    os.mkfifo(tmp_path / "pipe")
    words: list[Path | str] = [fc, an, "--climatology", fc, "--mask", fc]
    words[(0, 1, 3, 5)[position]] = tmp_path / "pipe"
    assert_refused(tuple(words), r"pipe is not a regular file; pipes and devices are not read", 2)


@pytest.mark.parametrize("kept", [0.99, 0.5, 0.02])
@pytest.mark.parametrize("kind", ["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT"])
def test_a_netcdf_file_that_was_cut_short_is_told(tmp_path: Path, an: Path, kind: Any, kept: float) -> None:
    bad = tmp_path / "bad.nc"
    forecast().to_netcdf(bad, format=kind)
    whole = bad.read_bytes()
    bad.write_bytes(whole[: int(kept * len(whole))])
    assert_refused((bad, an), r"bad.nc (is|cannot be read as NetCDF, is it) .*cut short", 2)


def _pressure(folder: Path, *_: Path) -> Words:
    fc, an = forecast()[["2m_temperature"]], truth()[["2t"]]
    fc = fc.rename({"2m_temperature": "msl"}) * 3.6
    an = an.rename({"2t": "msl"}) * 360
    fc["msl"].attrs["units"], an["msl"].attrs["units"] = "hPa", "Pa"
    return write(fc, folder / "fc"), write(an, folder / "an")


def _object_array(folder: Path, _: Path, an: Path) -> Words:
    fc = write(forecast(), folder / "fc", zarr_format=2)
    metadata = fc / "2m_temperature" / ".zarray"
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"dtype": "|O", "filters": [{"id": "pickle"}]}))
    return fc, an


def _file(content: bytes) -> Spoil:
    def arguments(folder: Path, _: Path, an: Path) -> Words:
        (folder / "fc").write_bytes(content)
        return folder / "fc", an

    return arguments


def _broken_metadata(folder: Path, _: Path, an: Path) -> Words:
    fc = write(forecast(), folder / "fc", zarr_format=2)
    (fc / ".zgroup").write_text("nonsense")
    return fc, an


def _no_leap_years(folder: Path, _: Path, an: Path) -> Words:
    forecast().to_netcdf(folder / "fc", encoding={"time": {"units": "days since 2019-12-31", "calendar": "noleap"}})
    return folder / "fc", an


def _scaled_by_a_word(folder: Path, _: Path, an: Path) -> Words:
    fc = write(forecast(), folder / "fc")
    with netCDF4.Dataset(fc, "a") as file:
        file["2m_temperature"].setncattr("scale_factor", "ten")
    return fc, an


def _chunks_of_nothing(folder: Path, _: Path, an: Path) -> Words:
    fc = write(forecast(), folder / "fc", zarr_format=2)
    metadata = fc / "2m_temperature" / ".zarray"
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"chunks": [0, 0, 0, 0]}))
    return fc, an


OTHER_TROUBLE: dict[str, tuple[Spoil, str, int]] = {
    "missing file": (lambda folder, *_: (folder / "no", folder / "an"), r"the forecast '.*no' does not exist", 2),
    "missing truth": (lambda folder, fc, an: (fc, folder / "no"), r"the truth '.*no' does not exist", 2),
    "missing climatology": (
        lambda folder, fc, an: (fc, an, "--climatology", folder / "no"),
        r"the climatology '.*no' does not exist",
        2,
    ),
    "pattern without a match": (
        lambda folder, *_: (f"{folder}/no*.nc", folder / "an"),
        r"the forecast '.*no\*.nc' does not exist",
        2,
    ),
    "folder that is no store": (lambda folder, *_: (folder, folder), r"is neither a flat store nor Zarr", 2),
    "empty file": (_file(b""), r"fc is empty: it has no bytes", 2),
    "text": (_file(b"lead,rmse\n24,3.4\n"), r"fc is neither NetCDF nor GRIB", 2),
    "a pipe": (lambda folder, *_: ("/dev/null", folder), r"/dev/null is not a regular file; pipes and devices", 2),
    "objects": (_object_array, r"fc/2m_temperature/.zarray: arrays of type '\|O' are refused", 2),
    "chunks of nothing": (_chunks_of_nothing, r"fc/2m_temperature has chunks of shape \(0, 0, 0, 0\)", 2),
    "a scale that is no number": (_scaled_by_a_word, r"fc: 2t started .* cannot be read; is the file whole\?", 2),
    "a calendar without leap years": (_no_leap_years, r"fc, axis 'time': times in .* noleap, are not understood", 2),
    "broken metadata": (_broken_metadata, r"fc/.zgroup is not JSON metadata", 2),
    "missing variable": (
        lambda folder, fc, an: (fc, an, "--variables", "q500"),
        r"fc has no field q500; it has 2t, z500, z850",
        2,
    ),
    "missing wind": (lambda folder, fc, an: (fc, an, "--variables", "wind850"), r"fc has no field u850", 2),
    "lead not there": (
        lambda folder, fc, an: (fc, an, "--leads", "12,48"),
        r"fc has no lead 48 h; its leads are 12, 24 h",
        2,
    ),
    "the same file twice": (
        lambda folder, fc, an: (fc, fc, an),
        r"fc and .*fc both hold z?\w+ started",
        2,
    ),
    "different units": (_pressure, r"msl is in 'hPa' in .*fc and in 'Pa' in .*an, a factor of 100", 2),
    "bad leads": (lambda folder, fc, an: (fc, an, "--leads", "soon"), r"leads must be hours", 2),
    "bad region": (lambda folder, fc, an: (fc, an, "--region", "mars"), r"unknown region 'mars'", 2),
    "land without a mask": (
        lambda folder, fc, an: (fc, an, "--region", "tropics-land"),
        r"region 'tropics-land' needs a land-sea mask: give --mask FILE",
        2,
    ),
    "picture of nothing": (
        lambda folder, fc, an: (fc, an, "--png", str(folder / "x.png")),
        r"--png compares with a reference",
        2,
    ),
    "two texts on stdout": (
        lambda folder, fc, an: (fc, an, "--json", "-", "--csv", "-"),
        r"only one of --json and --csv",
        2,
    ),
    "unwritable file": (
        lambda folder, fc, an: (fc, an, "--json", folder / "no" / "s.json"),
        r"cannot write .*s.json: No such file or directory",
        2,
    ),
}


@pytest.mark.parametrize("kind", OTHER_TROUBLE)
def test_any_other_trouble_has_its_own_error(tmp_path: Path, fc: Path, an: Path, kind: str) -> None:
    spoil, expected, status = OTHER_TROUBLE[kind]
    assert_refused(spoil(tmp_path, fc, an), expected, status)
