"""Zarr and NetCDF under the names that are in use, read field by field."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import xarray as xr
from zarr.codecs import BloscCodec

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.files.errors import MissingField, UnclearAxis, UnusableStore, UnusableValues
from gaia.tasks.defined_tasks.weather.files.series.xarray_series import XarraySeries, open_dataset
from gaia.tasks.defined_tasks.weather.files.zarr.zarr_blocks import ZarrBlocks
from tests.support.weather_files import LATITUDE, LONGITUDE, forecast, truth, weather, write

START = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("zarr_format", [None, 2, 3])
def test_a_forecast_is_the_same_from_netcdf_and_both_zarrs(tmp_path: Path, zarr_format: int | None) -> None:
    series = XarraySeries.open(write(forecast(), tmp_path / "fc", zarr_format=zarr_format))
    assert series.fields() == (FieldId("2t"), FieldId("z", 500), FieldId("z", 850))
    assert [(i.init_time, i.lead) for i in series.instants()] == [
        (START + timedelta(hours=start), timedelta(hours=lead)) for start in (0, 12) for lead in (12, 24)
    ]
    read = series.read(FieldId("z", 850), series.instants()[-1])
    np.testing.assert_array_equal(read, weather(36, "z", 850) + np.float32(100))


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("chunks", [(1, 1, 1, 7, 12), (1, 2, 2, 4, 5), (2, 2, 2, 7, 12)])
@pytest.mark.parametrize("compressed", [True, False])
def test_the_thin_reader_gives_the_digits_of_zarr_python(
    tmp_path: Path, chunks: tuple[int, ...], zarr_format: int, compressed: bool
) -> None:
    codec = BloscCodec(typesize=4, cname="zstd") if zarr_format == 3 else numcodecs.Blosc("lz4", 5, 1)
    encoding = {"geopotential": {"chunks": chunks, "compressors": codec if compressed else None}}
    gaps = forecast()
    gaps["geopotential"][0, 0, 0, 2, 3] = np.nan
    gaps["geopotential"][1, 1, 1, 2, 3] = np.inf
    gaps.to_zarr(tmp_path / "fc", zarr_format=zarr_format, consolidated=False, encoding=encoding)
    assert ZarrBlocks.open(tmp_path / "fc" / "geopotential") is not None
    _assert_read_alike(tmp_path / "fc")


def test_what_needs_more_than_its_chunks_is_left_to_zarr_python(tmp_path: Path) -> None:
    packed = {"dtype": "f4", "scale_factor": 2.0, "add_offset": 100.0}
    forecast().to_zarr(tmp_path / "packed", zarr_format=2, encoding={"geopotential": packed})
    zero = {"_FillValue": np.float32(54_900.0)}  # a value that the field has: xarray reads it as missing
    marked = forecast(wrong_z=100.0)
    marked["geopotential"][0, 0, 0, 2, 3] = 54_900.0
    marked.to_zarr(tmp_path / "marked", zarr_format=2, encoding={"geopotential": zero})
    linked = write(forecast(), tmp_path / "linked", zarr_format=2)
    chunk = linked / "geopotential" / "0.0.0.0.0"
    chunk.rename(tmp_path / "elsewhere")
    chunk.symlink_to(tmp_path / "elsewhere")
    for path in (tmp_path / "packed", tmp_path / "marked", linked):
        _assert_read_alike(path)


def _assert_read_alike(path: Path) -> None:
    """With the thin reader and without it: the same bits, NaN and infinity included."""
    thin, plain = XarraySeries.open(path), XarraySeries(open_dataset(path), str(path))
    for instant in plain.instants():
        for field in plain.fields():
            assert thin.read(field, instant).tobytes() == plain.read(field, instant).tobytes(), (field, instant)


def test_a_field_is_read_whatever_the_order_of_axes(tmp_path: Path) -> None:
    turned = truth().transpose("lon", "level", "lat", "time").isel(level=slice(None, None, -1))
    series = XarraySeries.open(write(turned, tmp_path / "t", zarr_format=3))
    for level in (500, 850):
        np.testing.assert_array_equal(series.read(FieldId("z", level), series.instants()[1]), weather(12, "z", level))


def test_plain_time_is_valid_time_where_there_is_no_lead() -> None:
    instants = XarraySeries(truth(), "truth").instants()
    assert [(i.valid_time, i.lead) for i in instants[:2]] == [(START, None), (START + timedelta(hours=12), None)]


def test_valid_times_and_one_start_make_leads() -> None:
    series = XarraySeries(
        truth().assign_coords(forecast_reference_time=np.datetime64("2020-01-01", "ns")), "a forecast"
    )
    assert [i.lead for i in series.instants()] == [timedelta(hours=h) for h in (0, 12, 24, 36)]


def test_the_start_may_be_an_attribute() -> None:
    series = XarraySeries(forecast((0,)).isel(time=0, drop=True).assign_attrs(init_time="2020-01-01T00:00:00Z"), "fc")
    assert [i.valid_time for i in series.instants()] == [START + timedelta(hours=h) for h in (12, 24)]
    with pytest.raises(UnclearAxis, match="init_time 'soon'"):
        XarraySeries(forecast((0,)).isel(time=0, drop=True).assign_attrs(init_time="soon"), "fc")


def test_levels_may_be_part_of_the_name() -> None:
    flat = xr.Dataset({"z500": truth().z.sel(level=500, drop=True), "z_850": truth().z.sel(level=850, drop=True)})
    assert XarraySeries(flat, "flat").fields() == (FieldId("z", 500), FieldId("z", 850))


def test_a_level_that_is_not_said_is_no_level() -> None:
    assert XarraySeries(truth()[["z"]].sel(level=500, drop=True), "flat").fields() == (FieldId("z"),)


def test_heights_become_geopotential_and_it_is_told() -> None:
    height = truth()[["z"]].rename(z="hgt") / 9.80665
    series = XarraySeries(height, "heights")
    np.testing.assert_allclose(series.read(FieldId("z", 500), series.instants()[0]), weather(0, "z", 500), rtol=1e-6)
    assert "multiplied by 9.80665" in series.remarks[0]
    assert series.unit(FieldId("z", 500)) == "m2 s-2"


def test_members_are_told_apart() -> None:
    members = xr.concat([truth(), truth(added=2.0)], dim="number").assign_coords(number=[0, 7])
    series = XarraySeries(members, "ensemble")
    assert series.members == (0, 7)
    read = series.read(FieldId("2t"), series.instants()[0], 7)
    np.testing.assert_array_equal(read, weather(0, "2t") + np.float32(2))
    assert XarraySeries(members.drop_vars("number"), "ensemble").members == (0, 1)


def test_packed_integers_are_numbers_and_bare_ones_are_not(tmp_path: Path) -> None:
    packed = truth()[["2t"]]
    packed["2t"].encoding = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 280.0, "_FillValue": -32768}
    series = XarraySeries.open(write(packed, tmp_path / "packed.nc"))
    np.testing.assert_allclose(series.read(FieldId("2t"), series.instants()[0]), weather(0, "2t"), atol=0.006)
    with pytest.raises(UnusableValues, match="'2t' holds int16, not floating-point numbers, nor is it packed"):
        XarraySeries(truth()[["2t"]].astype("i2"), "bare")


def test_axes_that_are_not_understood_are_named() -> None:
    with pytest.raises(UnclearAxis, match="'2t' has an axis 'timestep' of 4"):
        XarraySeries(truth()[["2t"]].rename(time="timestep"), "odd")
    with pytest.raises(UnclearAxis, match="0 coordinates of latitude"):
        XarraySeries(truth().rename(lat="y"), "odd")
    with pytest.raises(UnclearAxis, match="axis 'level' has no values"):
        XarraySeries(truth().drop_vars("level"), "odd")
    with pytest.raises(UnclearAxis, match="axis 'time' has no values"):
        XarraySeries(truth().drop_vars("time"), "odd")


def test_an_instant_that_is_there_twice_is_refused() -> None:
    with pytest.raises(UnclearAxis, match=r"twice holds 2 fields valid at 2020-01-01T12:00Z; one is expected"):
        XarraySeries(truth().isel(time=[0, 1, 1]), "twice")


def test_a_grid_that_is_none_names_the_file() -> None:
    with pytest.raises(UnclearAxis, match="odd, axis 'lat' is empty; finite degrees"):
        XarraySeries(truth().isel(lat=slice(0, 0)), "odd")
    with pytest.raises(UnclearAxis, match="odd, axis 'lat' is not finite everywhere"):
        XarraySeries(truth().assign_coords(lat=[*LATITUDE[:6], np.nan]), "odd")
    with pytest.raises(UnclearAxis, match="odd: latitude must rise or fall strictly"):
        XarraySeries(truth().assign_coords(lat=np.zeros(7)), "odd")


def test_fields_that_cannot_be_are_refused() -> None:
    with pytest.raises(UnusableStore, match="holds 2t twice"):
        XarraySeries(truth().assign(t2m=truth()["2t"]), "twice")
    with pytest.raises(UnusableStore, match="lies at the surface and has 2 levels"):
        XarraySeries(truth()[["z"]].rename(z="msl"), "levels")
    with pytest.raises(UnusableStore, match="unit 'furlong'"):
        XarraySeries(xr.Dataset({"2t": truth()["2t"].assign_attrs(units="furlong")}), "units")
    with pytest.raises(UnusableStore, match=r"has no variable of the table"):
        XarraySeries(truth()[["2t"]].rename({"2t": "precipitation"}), "rain")


def test_a_field_that_is_not_there_is_named() -> None:
    series = XarraySeries(truth(), "truth")
    with pytest.raises(MissingField, match="truth has no field q500; it has 2t, z500, z850"):
        series.read(FieldId("q", 500), series.instants()[0])


def test_axes_may_be_known_by_standard_name() -> None:
    renamed = truth().rename(lat="y", lon="x")
    renamed["y"].attrs["standard_name"], renamed["x"].attrs["standard_name"] = "latitude", "longitude"
    grid = XarraySeries(renamed, "cf").grid
    np.testing.assert_array_equal(grid.latitude, LATITUDE)
    np.testing.assert_array_equal(grid.longitude, LONGITUDE)
