"""`gaia score` against the validator's own result, and on real files against published numbers."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import netCDF4
import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from gaia.cli.main import app
from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.files.series.grib_series import GribSeries
from gaia.tasks.defined_tasks.weather.files.store.flat_store import write_flat_store
from gaia.tasks.defined_tasks.weather.forecast.forecast_writer import ForecastWriter
from gaia.tasks.defined_tasks.weather.policy.policy import DEFAULT_POLICY
from gaia.tasks.defined_tasks.weather.validator.handlers.score_payloads import Era5Payload, Era5Result
from gaia.tasks.defined_tasks.weather.validator.scoring import handle_era5_unit
from gaia.tasks.defined_tasks.weather.variables import STANDARD_GRAVITY
from tests.support.real_data import CLIMATOLOGY, ERA5_GRIB, REAL_DATA, needs_real_data
from tests.support.small_forecast import HOTKEY, INIT_TIME, RUN_ID, SPEC, freeze, smooth_field

_HRES = REAL_DATA / "ecmwf" / "hres_ztruv_6lev_10deg_20240603T00-0604T12_step0-6.grib"
_STORM = REAL_DATA / "ncep" / "U500storm.cdf"


def _scores(*words: str | Path) -> list[dict[str, Any]]:
    done = CliRunner().invoke(app, ["score", *map(str, words), "--json", "-"])
    assert done.exit_code == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)["scores"]
    return rows


def _noisy(field: FieldId, lead_h: int, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    noise = np.random.default_rng(seed).normal(0.0, 3.0, SPEC.grid.shape)
    return (smooth_field(field, lead_h) + noise).astype(np.float32)


def test_the_validators_result_to_the_last_digit(tmp_path: Path) -> None:
    writer = ForecastWriter(tmp_path / "forecast", SPEC, INIT_TIME)
    for seed, (_, field, lead_h) in enumerate(SPEC.chunks()):
        writer.write(field, lead_h, _noisy(field, lead_h, seed))
    frozen = freeze(tmp_path / "forecast", writer.finish(), SPEC)
    paths = {}
    for seed, name in enumerate(("truth", "climatology", "reference")):
        paths[name] = str(tmp_path / name)
        write_flat_store(
            paths[name],
            grid=SPEC.grid,
            valid_time=INIT_TIME + timedelta(hours=24),
            fields=SPEC.fields(),
            data=np.stack([_noisy(field, 24, 100 * (seed + 1)) for field in SPEC.fields()]),
            source="a test",
        )
    payload = Era5Payload(
        run_id=RUN_ID,
        hotkey=HOTKEY,
        spec=SPEC,
        policy=DEFAULT_POLICY,
        lead_h=24,
        forecast_path=str(frozen.path),
        manifest_digest=frozen.manifest_digest,
        truth_path=paths["truth"],
        climatology_path=paths["climatology"],
        reference_path=paths["reference"],
    )
    unit = msgspec.convert(handle_era5_unit(msgspec.to_builtins(payload)), Era5Result)
    rows = _scores(
        frozen.path, paths["truth"], "--reference", paths["reference"], "--climatology", paths["climatology"]
    )
    assert [(row["variable"], row["level_hpa"]) for row in rows] == list(unit.fields)
    for metric in ("bias", "mae", "rmse", "coverage", "acc", "skill_clim", "skill_ref"):
        assert [row[metric] for row in rows] == list(getattr(unit, metric)), metric


@pytest.fixture
def persistence(tmp_path: Path) -> Path:
    """The first ERA5 analysis of member 0 as a forecast of 12, 24 and 36 hours, under WeatherBench's names."""
    series = GribSeries(ERA5_GRIB)
    start = min(series.instants(), key=lambda i: i.valid_time.timestamp() if i.valid_time else 0.0)
    assert start.valid_time is not None
    dims = ("time", "prediction_timedelta", "level", "latitude", "longitude")
    fields = {
        long: (dims, np.stack([[series.read(FieldId(name, level), start, 0) for level in (500, 850)]] * 3)[None])
        for name, long in (("z", "geopotential"), ("t", "temperature"))
    }
    coordinates = {
        "time": [np.datetime64(start.valid_time.replace(tzinfo=None), "ns")],
        "prediction_timedelta": np.array([12, 24, 36], dtype="m8[h]").astype("m8[ns]"),
        "level": [500, 850],
        "latitude": series.grid.latitude,
        "longitude": series.grid.longitude,
    }
    xr.Dataset(fields, coordinates).to_zarr(tmp_path / "persistence.zarr", zarr_format=2)
    return tmp_path / "persistence.zarr"


@needs_real_data
@pytest.mark.real_data
def test_persistence_from_era5_gives_the_manifests_table(persistence: Path) -> None:
    rows = _scores(persistence, f"{ERA5_GRIB}?member=0", "--climatology", CLIMATOLOGY, "--pick-points", "--persistence")
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(f"{row['variable']}{row['level_hpa']}", []).append(row["rmse"])
    # gpm to 0.1 and K to 0.01 in the table; half of the last digit.
    assert [rmse / STANDARD_GRAVITY for rmse in found["z500"]] == pytest.approx([39.1, 63.2, 76.5], abs=0.06)
    assert [rmse / STANDARD_GRAVITY for rmse in found["z850"]] == pytest.approx([28.0, 44.8, 54.8], abs=0.06)
    assert found["t500"] == pytest.approx([2.29, 3.37, 3.87], abs=0.006)
    assert found["t850"] == pytest.approx([2.28, 2.94, 3.50], abs=0.006)
    # A persistence forecast has no skill against persistence, and some against a January mean.
    assert {row["skill_persistence"] for row in rows} == {0.0}
    assert all(0.2 < row["skill_clim"] < 0.9 and 0.6 < row["acc"] < 0.95 for row in rows if row["variable"] == "z")


@needs_real_data
@pytest.mark.real_data
def test_six_hour_forecasts_of_ecmwf_have_no_truth_12_hours_apart() -> None:
    rows = _scores(_HRES, _HRES, "--variables", "z500,t850")
    # Step 0 against itself; step 6 is valid between the analyses and left out, which is said.
    assert [(row["lead_h"], row["cases"], row["rmse"]) for row in rows] == [(0.0, 4, 0.0)] * 2
    done = CliRunner().invoke(app, ["score", str(_HRES), str(_HRES), "--leads", "6"])
    assert done.exit_code == 2
    assert "nothing valid at 2024-06-03T06:00Z" in done.stderr


@needs_real_data
@pytest.mark.real_data
def test_masked_storm_data_are_refused_as_they_are_and_right_once_their_axes_are_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["score", str(_STORM), str(_STORM)])
    assert done.exit_code == 2
    assert "'u' has an axis 'timestep' of 64 that is not understood" in done.stderr

    storm = xr.open_dataset(_STORM, decode_times=False)[["u"]]
    times = np.datetime64("1996-01-05", "ns") + np.arange(64) * np.timedelta64(6, "h")
    wind = storm.rename(timestep="time").assign_coords(time=times)
    wind.to_netcdf(tmp_path / "truth.nc")
    lead = {"lead_time": ("lead_time", [24], {"units": "hours"})}
    first = wind.isel(time=[0]).expand_dims(lead_time=[24], axis=1).assign_coords(lead)
    first.to_netcdf(tmp_path / "forecast.nc")
    (row,) = _scores(tmp_path / "forecast.nc", tmp_path / "truth.nc")
    # By hand, from the file itself: exact areas of the cells of 1.25 degrees, masked points left out.
    with netCDF4.Dataset(_STORM) as file:
        u = file["u"][:].filled(np.nan).astype(np.float64)
        latitude = file["lat"][:].filled().astype(np.float64)
    area = np.sin(np.deg2rad(latitude + 0.625)) - np.sin(np.deg2rad(latitude - 0.625))
    weights = np.broadcast_to(area[:, None], u[0].shape)
    there = np.isfinite(u[4])
    expected = np.sqrt(np.average((u[0] - u[4])[there] ** 2, weights=weights[there]))
    assert row["rmse"] == pytest.approx(expected, rel=1e-6)
    assert row["coverage"] == pytest.approx(weights[there].sum() / weights.sum(), rel=1e-9)
    assert row["coverage"] < 0.9
