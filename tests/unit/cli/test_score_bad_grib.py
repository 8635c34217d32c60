"""Every kind of bad GRIB given to `gaia score` ends in one line that names the file and what was expected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.weather_files import truth, write
from tests.unit.cli.test_score_bad_input import Words, assert_refused, usual
from tests.unit.tasks.weather.files.store import synthetic_grib

GRIB_TROUBLE: dict[str, tuple[Callable[[Path], Words], str, int]] = {
    "cut short": (
        lambda folder: (_grib(folder, cut_bytes=30), _grib(folder)),
        r"fc0.grib is cut short or damaged: field 2, from byte \d+ of \d+",
        2,
    ),
    "missing variable": (
        lambda folder: (_grib(folder), _grib(folder), "--variables", "q500"),
        r"fc0.grib has no field q500; it has t500",
        2,
    ),
    "unequal times": (
        lambda folder: (_grib(folder), _grib(folder, dataTime=600)),
        r"fc1.grib holds 2017-01-01T06Z .* nothing valid at 2017-01-01T00:00Z, which .*fc0.grib",
        2,
    ),
    "another variable": (
        lambda folder: (_grib(folder), _grib(folder, shortName="q")),
        r"fc0.grib and .*fc1.grib have no field in common: t500 there, q500 here",
        2,
    ),
    "unknown variable": (
        lambda folder: (_grib(folder, shortName="r"), _grib(folder)),
        r"fc0.grib has no field of the table \(2t, ",
        2,
    ),
    "the same field twice": (
        lambda folder: (_grib(folder, times=2), _grib(folder)),
        r"fc0.grib holds t500 started 2017-01-01T00:00Z \+0 h more than once",
        2,
    ),
    "all missing": (
        lambda folder: (_grib(folder, missing=True), _grib(folder)),
        r"fc0.grib: t500 started .*: the forecast is not finite .*84 of 84",
        1,
    ),
    "climatology on another grid": (
        lambda folder: (_grib(folder), _grib(folder), "--climatology", _temperatures(folder / "cl")),
        r"the climatology .*cl lies on 4 x 12 points",
        1,
    ),
}


def _temperatures(path: Path) -> Path:
    return write(usual(truth()).isel(lat=slice(None, None, 2))[["z"]].rename(z="t"), path)


def _grib(folder: Path, *, times: int = 1, cut_bytes: int = 0, missing: bool = False, **keys: Any) -> Path:
    """Temperatures at 500 hPa, so many messages of them."""
    values = 240.0 + synthetic_grib.ramp() / 10
    if missing:
        keys |= {"bitmapPresent": 1, "missingValue": 1e20}
        values = np.full_like(values, 1e20)
    message = synthetic_grib.message(values, **keys)
    file = folder / f"fc{len(list(folder.iterdir()))}.grib"
    return synthetic_grib.write(file, *[message] * times, tail=b"" if cut_bytes == 0 else message[:cut_bytes])


@pytest.mark.parametrize("kind", GRIB_TROUBLE)
def test_grib_trouble_has_its_own_error(tmp_path: Path, kind: str) -> None:
    spoil, expected, status = GRIB_TROUBLE[kind]
    assert_refused(spoil(tmp_path), expected, status)
