"""Masks from files of every kind, and what is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from gaia.tasks.defined_tasks.weather.files.errors import (
    MissingField,
    StoreMissing,
    UnclearAxis,
    UnusableStore,
    UnusableValues,
)
from gaia.tasks.defined_tasks.weather.files.series.land_mask import read_land_mask
from tests.support.real_data import REAL_DATA, needs_real_data
from tests.support.weather_files import LATITUDE, LONGITUDE, truth, write

_EAST = np.broadcast_to(LONGITUDE < 180.0, (7, 12)).astype(np.float32)
_GFS = REAL_DATA / "gfs" / "gfs.20111008_t00z.f072.2p5deg.grib2"


def _mask(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]] = _EAST, name: str = "lsm") -> xr.Dataset:
    return xr.Dataset({name: (("lat", "lon"), values)}, {"lat": LATITUDE, "lon": LONGITUDE})


@pytest.mark.parametrize("zarr_format", [None, 2, 3])
def test_a_mask_is_read_from_zarr_and_netcdf(tmp_path: Path, zarr_format: int | None) -> None:
    path = write(_mask(), tmp_path / "mask", zarr_format=zarr_format)
    mask = read_land_mask(str(path))
    np.testing.assert_array_equal(mask.land, _EAST)
    assert mask.name == str(path)
    assert mask.grid.shape == (7, 12)


def test_axes_may_come_in_any_order_with_a_single_time_and_whole_numbers(tmp_path: Path) -> None:
    turned = _mask(_EAST.astype("i1")).transpose("lon", "lat").expand_dims(time=[0])
    np.testing.assert_array_equal(read_land_mask(str(write(turned, tmp_path / "m"))).land, _EAST)


def test_the_variable_may_be_named(tmp_path: Path) -> None:
    path = write(_mask(name="share"), tmp_path / "m")
    np.testing.assert_array_equal(read_land_mask(f"{path}:share").land, _EAST)
    with pytest.raises(MissingField, match=r"has no land-sea mask called lsm .*; it has share; name the variable"):
        read_land_mask(str(path))
    with pytest.raises(MissingField, match="called ground; it has share"):
        read_land_mask(f"{path}:ground")


def test_what_is_no_share_of_land_is_refused(tmp_path: Path) -> None:
    for number, (values, complaint) in enumerate(
        (
            (_EAST * np.float32(100), r"'lsm' reaches from 0 to 100; expected is the share of land"),
            (np.where(_EAST > 0, np.float32(np.nan), _EAST), "has no value at 42 of 84 points"),
            (_EAST.astype("U3"), "holds <U3, not numbers"),
        )
    ):
        with pytest.raises(UnusableValues, match=complaint):
            read_land_mask(str(write(_mask(values), tmp_path / str(number))))
    with pytest.raises(UnclearAxis, match="'2t' has an axis 'time' of 4; one field is expected"):
        read_land_mask(f"{write(truth(), tmp_path / 'an')}:2t")


def test_a_mask_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match=r"the land-sea mask '.*nowhere:lsm' does not exist"):
        read_land_mask(f"{tmp_path / 'nowhere'}:lsm")
    with pytest.raises(UnusableStore, match="neither a flat store nor Zarr"):
        read_land_mask(str(tmp_path))


@needs_real_data
@pytest.mark.real_data
def test_the_mask_of_a_gfs_file_knows_the_sahara_from_the_pacific() -> None:
    mask = read_land_mask(str(_GFS))
    assert mask.land[np.argmin(abs(mask.grid.latitude - 20)), np.argmin(abs(mask.grid.longitude - 10))] == 1.0
    assert mask.land[np.argmin(abs(mask.grid.latitude)), np.argmin(abs(mask.grid.longitude - 200))] == 0.0
