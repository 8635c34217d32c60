"""`gaia score` on files that say the same in other ways: byte orders, precisions, axes, calendars of climatologies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner, Result

from gaia.cli.main import app
from tests.support.weather_files import forecast, truth, weather, write


def _run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["score", *map(str, words)])


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A forecast 1 K and 100 m2 s-2 too high, and its truth."""
    return write(forecast(), tmp_path / "fc"), write(truth(), tmp_path / "an")


CONVENTIONS: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {
    "double precision": lambda d: d.astype("f8"),
    "big-endian": lambda d: d.astype(">f4"),
    "axes in another order": lambda d: d.transpose("longitude", "level", "latitude", "prediction_timedelta", "time"),
    "south first": lambda d: d.isel(latitude=slice(None, None, -1)),
    "longitudes from -180": lambda d: d.assign_coords(longitude=(d.longitude + 180) % 360 - 180).sortby("longitude"),
    "levels in Pa": lambda d: d.assign_coords(level=("level", [50_000.0, 85_000.0], {"units": "Pa"})),
    "leads in days": lambda d: d.assign_coords(
        prediction_timedelta=("prediction_timedelta", [0.5, 1.0], {"units": "days"})
    ),
    "packed": lambda d: d.assign({name: _packed(d[name]) for name in d.data_vars}),
}


def _packed(values: xr.DataArray) -> xr.DataArray:
    """On steps that hold every value of the weather's but for 2 % of an error of 1 K or 100 m2/s2."""
    step = 0.02 if float(values.max()) < 1_000.0 else 2.0
    packed = values.copy()
    packed.encoding = {"dtype": "i2", "scale_factor": step, "add_offset": float(values.mean()), "_FillValue": -32768}
    return packed


@pytest.mark.parametrize("zarr_format", [None, 2, 3])
@pytest.mark.parametrize("kind", CONVENTIONS)
def test_what_is_written_otherwise_scores_the_same(
    files: tuple[Path, Path], tmp_path: Path, kind: str, zarr_format: int | None
) -> None:
    made = write(CONVENTIONS[kind](forecast()), tmp_path / "otherwise", zarr_format=zarr_format)
    done = _run(made, files[1], "--json", "-")
    assert done.exit_code == 0, done.stderr
    # Off by 1 K and 100 m2/s2 everywhere, and by nothing else.
    found = {(row["variable"], row["level_hpa"], row["lead_h"]): row for row in json.loads(done.stdout)["scores"]}
    errors = {("2t", None): 1.0, ("z", 500): 100.0, ("z", 850): 100.0}
    assert set(found) == {(*field, lead) for field in errors for lead in (12.0, 24.0)}
    for (name, level, _), row in found.items():
        assert row["rmse"] == pytest.approx(errors[name, level], rel=0.03 if kind == "packed" else 1e-6)


def test_a_climatology_by_day_and_hour_is_taken_at_the_valid_time(files: tuple[Path, Path], tmp_path: Path) -> None:
    """In either order of its axes; ACC by hand with numpy, from the cells' shares of the sphere."""
    usual = xr.concat(
        [
            truth((hour + 24 * day,)).isel(time=0, drop=True)[["2t"]] * (1 + 0.01 * day)
            for day in range(3)
            for hour in (0, 6, 12, 18)
        ],
        "at",
    )
    usual = usual.assign_coords(dayofyear=("at", np.repeat([1, 2, 3], 4)), hour=("at", [0, 6, 12, 18] * 3))
    usual = usual.set_index(at=("dayofyear", "hour")).unstack("at")
    edges = np.sin(np.deg2rad([90, 75, 45, 15, -15, -45, -75, -90]))
    share = (edges[:-1] - edges[1:])[:, None] / 24
    products = np.zeros(3)
    for start in (0, 12):
        day, hour = divmod(start + 12, 24)
        expected = usual["2t"].sel(dayofyear=day + 1, hour=hour).transpose("lat", "lon").to_numpy()
        wrong, right = (weather(start + 12, "2t") + added - expected for added in (np.float32(1), np.float32(0)))
        products += [float((share * a * b).sum()) for a, b in ((wrong, right), (wrong, wrong), (right, right))]
    for number, order in enumerate((("dayofyear", "hour"), ("hour", "dayofyear"))):
        path = write(usual.transpose(*order, ...), tmp_path / f"usual{number}")
        done = _run(*files, "--climatology", path, "--leads", "12", "--variables", "2t", "--json", "-")
        assert done.exit_code == 0, done.stderr
        (row,) = json.loads(done.stdout)["scores"]
        assert row["acc"] == pytest.approx(products[0] / np.sqrt(products[1] * products[2]), rel=1e-6)


def test_a_file_scored_against_itself_is_told(files: tuple[Path, Path]) -> None:
    done = _run(files[0], files[0])
    assert done.exit_code == 0
    assert f"gaia: warning: {files[0]} is the forecast and the truth: all its errors are 0" in done.stderr
