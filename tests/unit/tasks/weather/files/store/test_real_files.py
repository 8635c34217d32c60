"""Real GRIB and NetCDF files: the numbers of the data's manifest, and its traps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import netCDF4
import numpy as np
import pytest
from numpy.typing import NDArray

from gaia.protocol.run_spec import FieldId, GridSpec, RunSpec, VariableSpec
from gaia.tasks.defined_tasks.weather.files.archive import SourceRole
from gaia.tasks.defined_tasks.weather.files.errors import (
    IrregularGrid,
    MissingField,
    MissingMember,
    TruncatedGrib,
    UnusableStore,
    WrongGrid,
)
from gaia.tasks.defined_tasks.weather.files.inventory import Inventory
from gaia.tasks.defined_tasks.weather.files.store import grib, netcdf
from gaia.tasks.defined_tasks.weather.files.store.flat_store import FlatStore
from gaia.tasks.defined_tasks.weather.files.store.open_store import open_store
from gaia.tasks.defined_tasks.weather.supply.catalogue import parse_source
from gaia.tasks.defined_tasks.weather.supply.decode import decode, handle_decode, handle_inventory
from gaia.tasks.defined_tasks.weather.supply.decode_payloads import (
    DecodePayload,
    DecodeResult,
    InventoryPayload,
    plan_from_truth,
)
from tests.support.real_data import CLIMATOLOGY, ERA5_GRIB, GFS_GRIB, REAL_DATA, needs_real_data

pytestmark = [pytest.mark.real_data, needs_real_data]

INIT = datetime(2017, 1, 1, tzinfo=UTC)
GRAVITY = 9.80665


def inventory_of(text: str) -> Inventory:
    asked = msgspec.to_builtins(InventoryPayload(source=parse_source(text)))
    return msgspec.convert(handle_inventory(asked), Inventory)


def decoded(
    text: str, role: SourceRole, valid_time: datetime, spec: RunSpec, folder: Path, **keys: Any
) -> DecodeResult:
    asked = DecodePayload(
        source=parse_source(text),
        role=role,
        valid_time=valid_time,
        spec=spec,
        destination=str(folder / f"{role}-{valid_time:%Y%m%d%H}"),
        **keys,
    )
    return msgspec.convert(handle_decode(msgspec.to_builtins(asked)), DecodeResult)


def area_mean(values: NDArray[np.float64], latitude: NDArray[np.float64]) -> float:
    """Mean over the sphere, each row weighted with its exact share of area; the step is latitude[0] - latitude[1]."""
    half = abs(latitude[0] - latitude[1]) / 2
    upper, lower = np.clip(latitude + half, -90, 90), np.clip(latitude - half, -90, 90)
    area = np.sin(np.radians(upper)) - np.sin(np.radians(lower))
    return float((values.mean(axis=1) * area).sum() / area.sum())


# the manifest's table "Numbers these data must give": persistence from the first time at +12, +24, +36 h
MANIFEST_RMSE = {
    FieldId("z", 500): (39.1, 63.2, 76.5),
    FieldId("z", 850): (28.0, 44.8, 54.8),
    FieldId("t", 500): (2.29, 3.37, 3.87),
    FieldId("t", 850): (2.28, 2.94, 3.50),
}


def test_persistence_on_era5_gives_the_manifests_rmse(tmp_path: Path) -> None:
    text = f"{ERA5_GRIB}?member=0"
    held = inventory_of(text)
    init_time, spec = plan_from_truth(held, text)
    assert init_time == INIT
    assert spec.lead_h == (12, 24, 36)
    assert spec.grid == GridSpec.global_grid(3.0)
    assert spec.fields() == tuple(MANIFEST_RMSE)
    assert held.members == tuple(range(10))

    stores = [FlatStore(decoded(text, SourceRole.TRUTH, time, spec, tmp_path).path) for time in held.times]
    for field, expected in MANIFEST_RMSE.items():
        unit, tolerance = (GRAVITY, 0.05) if field.variable == "z" else (1.0, 0.01)
        start = stores[0].read(field).astype(np.float64)
        for store, rmse in zip(stores[1:], expected, strict=True):
            mse = area_mean((store.read(field) - start) ** 2, store.latitude)
            # the table is rounded to its last digit, which is coarser than or equal to the tolerance
            assert np.sqrt(mse) / unit == pytest.approx(rmse, abs=tolerance + 1e-9)


def test_ecmwf_analyses_give_the_manifests_rmse() -> None:
    path = REAL_DATA / "ecmwf" / "hres_ztruv_6lev_10deg_20240603T00-0604T12_step0-6.grib"
    held = grib.inventory(path, None)
    z500 = FieldId("z", 500)
    start, *later = [grib.read_truth(path, None, time, [z500]) for time in held.times]
    assert [time - held.times[0] for time in held.times[1:]] == [timedelta(hours=h) for h in (12, 24, 36)]
    first = start.read(z500).astype(np.float64)
    cosine = np.cos(np.radians(start.latitude))  # as the manifest: at 10 degrees it differs from exact areas by 0.1
    found = [np.sqrt(np.average(((s.read(z500) - first) ** 2).mean(1), weights=cosine)) / GRAVITY for s in later]
    np.testing.assert_allclose(found, [27.0, 44.5, 56.9], atol=0.06)


def test_old_gfs_file_yields_both_winds_of_a_shared_message() -> None:
    store = open_store(GFS_GRIB, lead_h=72)
    assert sum(1 for _ in grib.iterate(GFS_GRIB)) == 344
    assert {f.level_hpa for f in store.fields() if f.variable == "v"} >= {50, 500, 1000}
    # winds at 500 hPa are nearly geostrophic away from the equator: u = -dz/dy / f, v = dz/dx / f
    north = (store.latitude >= 30) & (store.latitude <= 70)
    latitude = np.radians(store.latitude)
    z500 = store.read(FieldId("z", 500)).astype(np.float64)
    coriolis = 2 * 7.292e-5 * np.sin(latitude)[:, None]
    metres = 6.371e6
    z_east = (np.roll(z500, -1, 1) - np.roll(z500, 1, 1)) / (2 * np.radians(2.5))
    z_north = np.gradient(z500, latitude, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        v = z_east / (metres * np.cos(latitude)[:, None] * coriolis)
        u = -z_north / (metres * coriolis)
    for name, geostrophic in (("u", u), ("v", v)):
        wind = store.read(FieldId(name, 500))
        assert np.corrcoef(wind[north].ravel(), geostrophic[north].ravel())[0, 1] > 0.9


def test_three_packings_of_quarter_degree_height_are_read() -> None:
    z500 = FieldId("z", 500)
    stores = {
        name: open_store(REAL_DATA / "gfs" / f"z500_f024_0p25_gfs.{name}.grib2") for name in ("complex", "jpeg", "png")
    }
    heights = {name: store.read(z500) / GRAVITY for name, store in stores.items()}
    assert {h.shape for h in heights.values()} == {(721, 1440)}
    assert all(4500 < h.min() < 5000 and 5900 < h.max() < 6000 for h in heights.values())
    # jpeg and png hold the same field of 2022-02-10
    np.testing.assert_allclose(heights["jpeg"], heights["png"], atol=0.1)


def test_field_whose_bytes_are_damaged_is_refused_by_name(tmp_path: Path) -> None:
    damaged = bytearray((REAL_DATA / "gfs" / "z500_f024_0p25_gfs.png.grib2").read_bytes())
    start = damaged.index(b"\x89PNG")
    damaged[start : start + 60] = b"\xff" * 60
    (tmp_path / "a.grib").write_bytes(damaged)
    with pytest.raises(UnusableStore, match=r"a\.grib: field 1 \(gh\), packed as grid_png, is not decodable"):
        open_store(tmp_path / "a.grib")


def test_missing_points_become_nan() -> None:
    path = REAL_DATA / "gfs" / "gfs.20260605_t12z.f023.0p25.PV-TMP-missing.grib2"
    (values,) = [field.values() for field in grib.iterate(path)]
    assert np.isnan(values).sum() == 409_080
    assert 150 < np.nanmin(values) < np.nanmax(values) < 330


def test_ccsds_packed_quarter_degree_field_is_rolled_to_start_at_greenwich(tmp_path: Path) -> None:
    path = REAL_DATA / "ecmwf" / "t500_0p25_20260310T00_step0.grib2"
    t500 = FieldId("t", 500)
    spec = RunSpec(
        variables=(VariableSpec(name="t", levels_hpa=(500,)),),
        lead_h=(12,),
        scored_lead_h=(12,),
        gate_lead_h=None,
        grid=GridSpec.global_grid(0.25),
    )
    result = decoded(str(path), SourceRole.TRUTH, datetime(2026, 3, 10, tzinfo=UTC), spec, tmp_path)
    stored = open_store(path).read(t500)
    np.testing.assert_array_equal(FlatStore(result.path).read(t500), np.roll(stored, 720, axis=1))


def test_cut_copy_of_the_truth_names_field_and_byte(tmp_path: Path) -> None:
    whole = ERA5_GRIB.read_bytes()
    (tmp_path / "cut.grib").write_bytes(whole[: 14_760 * 100 + 5000])  # each message and its padding: 14,760 bytes
    with pytest.raises(TruncatedGrib, match="field 101, from byte 1476000 of 1481000") as caught:
        inventory_of(f"{tmp_path / 'cut.grib'}?member=0")
    assert "\n" not in str(caught.value)
    assert caught.value.retryable


def test_absent_member_and_field_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingMember, match="no member 10"):
        inventory_of(f"{ERA5_GRIB}?member=10")
    _, spec = plan_from_truth(grib.inventory(ERA5_GRIB, 0), "era5")
    wanted = msgspec.structs.replace(spec, variables=(VariableSpec(name="2t"), *spec.variables))
    with pytest.raises(MissingField, match="has no field 2t; it has t500, t850, z500, z850"):
        decoded(f"{ERA5_GRIB}?member=0", SourceRole.TRUTH, INIT, wanted, tmp_path)
    with pytest.raises(WrongGrid, match="has no latitude 88"):
        finer = msgspec.structs.replace(spec, grid=GridSpec.global_grid(2.0))
        decoded(f"{ERA5_GRIB}?member=0", SourceRole.TRUTH, INIT, finer, tmp_path)


def test_january_climatology_takes_every_fourth_point_exactly(tmp_path: Path) -> None:
    _, spec = plan_from_truth(grib.inventory(ERA5_GRIB, 0), "era5")
    result = decoded(str(CLIMATOLOGY), SourceRole.CLIMATOLOGY, INIT, spec, tmp_path)
    assert result.fields == (FieldId("z", 500), FieldId("z", 850))
    assert result.missing == (FieldId("t", 500), FieldId("t", 850))
    values = FlatStore(result.path).read(FieldId("z", 850))

    with netCDF4.Dataset(CLIMATOLOGY) as dataset:
        dataset.set_auto_maskandscale(False)
        packed = dataset["z"][0, 2].astype(np.float64)  # January, 850 hPa, 241 x 480 from 90 N, 180 W
        unpacked = packed * dataset["z"].scale_factor + dataset["z"].add_offset
    # 60 N 0 E: row 30/0.75, column 180/0.75; 60 N 90 W; the south pole
    for latitude, longitude in ((60, 0), (60, 270), (-90, 357), (0, 180), (0, 177)):
        row, column = round((90 - latitude) / 0.75), round((longitude + 180) % 360 / 0.75)
        assert values[(90 - latitude) // 3, longitude // 3] == np.float32(unpacked[row, column])


def test_climatology_of_a_month_that_is_not_there_is_missing() -> None:
    assert netcdf.open_climatology(CLIMATOLOGY, datetime(2017, 7, 31, 18, tzinfo=UTC)).fields()
    with pytest.raises(MissingField, match="has no month 2; it has 1, 7"):
        netcdf.open_climatology(CLIMATOLOGY, datetime(2017, 2, 1, tzinfo=UTC))


def test_reference_forecast_is_found_by_init_time_and_lead(tmp_path: Path) -> None:
    spec = RunSpec(
        variables=(VariableSpec(name="msl"), VariableSpec(name="z", levels_hpa=(500,))),
        lead_h=(72,),
        scored_lead_h=(72,),
        gate_lead_h=None,
        grid=GridSpec.global_grid(2.5),
    )
    init = datetime(2011, 10, 8, tzinfo=UTC)
    valid = init + timedelta(hours=72)
    result = decoded(str(GFS_GRIB), SourceRole.REFERENCE, valid, spec, tmp_path, init_time=init, lead_h=72)
    assert result.missing == ()
    pressure = FlatStore(result.path).read(FieldId("msl"))
    assert 100_500 < area_mean(pressure.astype(np.float64), FlatStore(result.path).latitude) < 101_500
    asked = DecodePayload(
        source=parse_source(str(GFS_GRIB)),
        role=SourceRole.REFERENCE,
        valid_time=valid,
        init_time=init,
        lead_h=48,
        spec=spec,
        destination=str(tmp_path / "x"),
    )
    with pytest.raises(MissingField, match=r"\+48 h; its times are 2011-10-08"):
        decode(asked)


def test_era5_on_gaussian_latitudes_is_refused() -> None:
    with pytest.raises(IrregularGrid, match="latitude is not evenly spaced"):
        open_store(REAL_DATA / "era5" / "era5_tl31_37lev_19590102T00.nc")
