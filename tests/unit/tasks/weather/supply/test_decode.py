"""Decode units: from a source to a flat store on the run's grid."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import xarray as xr

from gaia.protocol.run_spec import FieldId, GridSpec, RunSpec, VariableSpec
from gaia.tasks.defined_tasks.weather.files.archive import ARCHIVE_HEADER, SourceRole, archive_store
from gaia.tasks.defined_tasks.weather.files.errors import (
    BadSource,
    MissingField,
    StoreDamaged,
    StoreMissing,
    StoreUnwritable,
    UnusableStore,
)
from gaia.tasks.defined_tasks.weather.files.inventory import Inventory
from gaia.tasks.defined_tasks.weather.files.store.flat_store import FlatStore, write_flat_store
from gaia.tasks.defined_tasks.weather.supply.catalogue import SourceRef, parse_source
from gaia.tasks.defined_tasks.weather.supply.decode import (
    decode,
    handle_decode,
    handle_inventory,
    take_inventory,
)
from gaia.tasks.defined_tasks.weather.supply.decode_payloads import DecodePayload, DecodeResult, InventoryPayload
from tests.support.disks import fill, tmpfs_of
from tests.unit.tasks.weather.files.store.synthetic_grib import message, ramp, write

INIT = datetime(2017, 1, 1, tzinfo=UTC)
GRID = GridSpec.global_grid(30.0)
T500, Z500 = FieldId("t", 500), FieldId("z", 500)
SPEC = RunSpec(
    variables=(VariableSpec(name="z", levels_hpa=(500,)), VariableSpec(name="t", levels_hpa=(500,))),
    lead_h=(6, 12),
    scored_lead_h=(12,),
    gate_lead_h=None,
    grid=GRID,
)


def payload(source: SourceRef, destination: Path, role: SourceRole = SourceRole.TRUTH, **keys: Any) -> DecodePayload:
    settings = {"valid_time": INIT, "spec": SPEC, **keys}
    return DecodePayload(source=source, role=role, destination=str(destination), **settings)


def grib_source(tmp_path: Path) -> SourceRef:
    path = write(tmp_path / "a.grib", message(ramp()), message(ramp() + 5000, shortName="gh"))
    return parse_source(str(path))


def archive(root: Path, *, fields: tuple[FieldId, ...] = (Z500, T500), grid: GridSpec = GRID) -> SourceRef:
    """An archive with truth at two times, one reference and one climatology, each a constant."""
    root.mkdir()
    (root / ARCHIVE_HEADER).write_text("{}")
    places = [
        archive_store(root, SourceRole.TRUTH, valid_time=INIT),
        archive_store(root, SourceRole.TRUTH, valid_time=INIT + timedelta(hours=12)),
        archive_store(root, SourceRole.REFERENCE, valid_time=INIT, init_time=INIT, lead_h=12),
        archive_store(root, SourceRole.CLIMATOLOGY, valid_time=INIT),
    ]
    for number, place in enumerate(places):
        data = np.full((len(fields), *grid.shape), number, dtype=np.float32)
        write_flat_store(place, grid=grid, valid_time=INIT, fields=fields, data=data, source="test")
    return parse_source(f"archive:{root}")


def test_grib_is_published_on_the_runs_grid_in_its_order(tmp_path: Path) -> None:
    asked = payload(grib_source(tmp_path), tmp_path / "cache" / "store")
    result = msgspec.convert(handle_decode(msgspec.to_builtins(asked)), DecodeResult)
    assert result == DecodeResult(path=asked.destination, fields=(Z500, T500))
    store = FlatStore(result.path)
    assert store.fields() == (Z500, T500)
    assert (store.grid, store.valid_time, store.header.source) == (GRID, INIT, str(asked.source))
    np.testing.assert_array_equal(store.read(T500), ramp())
    np.testing.assert_array_equal(store.read(Z500), ((ramp() + 5000) * 9.80665).astype(np.float32))


def test_second_decode_takes_the_published_store(tmp_path: Path) -> None:
    asked = payload(grib_source(tmp_path), tmp_path / "store")
    first = decode(asked)
    Path(asked.source.path).unlink()
    assert decode(asked) == first


def test_damaged_cache_is_decoded_again(tmp_path: Path) -> None:
    asked = payload(grib_source(tmp_path), tmp_path / "store")
    decode(asked)
    os.truncate(tmp_path / "store" / "data.f32", 10)
    np.testing.assert_array_equal(FlatStore(decode(asked).path).read(T500), ramp())


_SPOILT = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "a byte short": lambda content: content[:-1],
    "a byte long": lambda content: content + b" ",
    "zeros at the end": lambda content: content[:-8] + bytes(8),
    "no text": lambda content: content[:301] + b"\xff" + content[302:],
    "a bit changed": lambda content: content[:301] + bytes([content[301] ^ 1]) + content[302:],
}


@pytest.mark.parametrize("name", ["fields.json", "data.f32"])
@pytest.mark.parametrize("spoil", _SPOILT.values(), ids=_SPOILT)
def test_a_store_of_which_any_file_was_spoilt_is_decoded_again(
    tmp_path: Path, name: str, spoil: Callable[[bytes], bytes]
) -> None:
    asked = payload(grib_source(tmp_path), tmp_path / "store")
    decode(asked)
    kept = tmp_path / "store" / name
    whole = kept.read_bytes()
    kept.write_bytes(spoil(whole))
    np.testing.assert_array_equal(FlatStore(decode(asked).path).read(T500), ramp())
    if (name, spoil) != ("fields.json", _SPOILT["a byte long"]):  # a space more is the same JSON
        assert kept.read_bytes() == whole


def test_a_full_disk_takes_no_part_of_a_store_and_all_of_it_once_there_is_room(tmp_path: Path) -> None:
    with tmpfs_of(tmp_path / "disk", "size=64k") as disk:
        asked = payload(grib_source(tmp_path), disk / "fields" / "store")
        fill(disk / "ballast")
        with pytest.raises(StoreUnwritable, match="No space left on device"):
            decode(asked)
        assert list((disk / "fields").iterdir()) == []
        (disk / "ballast").unlink()
        np.testing.assert_array_equal(FlatStore(decode(asked).path).read(T500), ramp())


def test_folder_of_something_else_is_never_deleted(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "precious").write_text("keep")
    with pytest.raises(StoreMissing):
        decode(payload(grib_source(tmp_path), tmp_path / "store"))
    assert (tmp_path / "store" / "precious").read_text() == "keep"


def test_published_store_on_another_grid_is_refused(tmp_path: Path) -> None:
    source = grib_source(tmp_path)
    decode(payload(source, tmp_path / "store"))
    coarser = msgspec.structs.replace(SPEC, grid=GridSpec.global_grid(60.0))
    with pytest.raises(StoreDamaged, match="lies on another grid"):
        decode(payload(source, tmp_path / "store", spec=coarser))


def test_truth_without_a_wanted_field_is_refused(tmp_path: Path) -> None:
    source = parse_source(str(write(tmp_path / "a.grib", message(ramp()))))
    with pytest.raises(MissingField, match="has no field z500; it has t500"):
        decode(payload(source, tmp_path / "store"))
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("role", "value"),
    [(SourceRole.TRUTH, 0), (SourceRole.ANALYSIS, 0), (SourceRole.REFERENCE, 2), (SourceRole.CLIMATOLOGY, 3)],
)
def test_archive_answers_with_its_own_store(tmp_path: Path, role: SourceRole, value: int) -> None:
    source = archive(tmp_path / "archive")
    result = decode(payload(source, tmp_path / "store", role, init_time=INIT, lead_h=12))
    assert result.path.startswith(source.path)
    assert FlatStore(result.path).read(Z500)[0, 0] == value
    assert not (tmp_path / "store").exists()


def test_an_archive_with_a_changed_byte_is_named_and_left_alone(tmp_path: Path) -> None:
    asked = payload(archive(tmp_path / "archive"), tmp_path / "s")
    data = archive_store(tmp_path / "archive", SourceRole.TRUTH, valid_time=INIT) / "data.f32"
    data.write_bytes(b"\1" + data.read_bytes()[1:])
    with pytest.raises(StoreDamaged, match=rf"{data.parent} has content of blake3 \w+, but its header says"):
        decode(asked)
    assert data.read_bytes()[:1] == b"\1"


def test_climatology_without_some_fields_says_which(tmp_path: Path) -> None:
    source = archive(tmp_path / "archive", fields=(Z500,))
    result = decode(payload(source, tmp_path / "store", SourceRole.CLIMATOLOGY))
    assert (result.fields, result.missing) == ((Z500,), (T500,))
    with pytest.raises(MissingField, match="has no field t500; it has z500"):
        decode(payload(source, tmp_path / "store"))


def test_climatology_without_any_wanted_field_is_refused(tmp_path: Path) -> None:
    source = archive(tmp_path / "archive", fields=(FieldId("2t"),))
    with pytest.raises(MissingField, match="has no field z500; it has 2t"):
        decode(payload(source, tmp_path / "store", SourceRole.CLIMATOLOGY))


def test_finer_archive_is_thinned_into_the_cache(tmp_path: Path) -> None:
    source = archive(tmp_path / "archive", grid=GridSpec.global_grid(15.0))
    result = decode(payload(source, tmp_path / "store"))
    assert result.path == str(tmp_path / "store")
    assert FlatStore(result.path).grid == GRID


def test_archive_without_the_instant_names_the_folder(tmp_path: Path) -> None:
    source = archive(tmp_path / "archive")
    asked = payload(source, tmp_path / "store", valid_time=INIT + timedelta(hours=6))
    with pytest.raises(MissingField, match=r"holds no truth .*truth/20170101T06Z"):
        decode(asked)
    shutil.rmtree(source.path)
    with pytest.raises(StoreMissing, match="cannot be read"):
        decode(asked)


def test_archive_inventory_lists_times_and_shared_fields(tmp_path: Path) -> None:
    source = archive(tmp_path / "archive")
    later = archive_store(source.path, SourceRole.TRUTH, valid_time=INIT + timedelta(hours=24))
    data = np.zeros((1, *GRID.shape), dtype=np.float32)
    write_flat_store(later, grid=GRID, valid_time=INIT, fields=(T500,), data=data, source="test")
    held = msgspec.convert(handle_inventory(msgspec.to_builtins(InventoryPayload(source=source))), Inventory)
    assert held.times == tuple(INIT + timedelta(hours=h) for h in (0, 12, 24))
    assert held.fields == (T500,)
    assert (held.grid, held.members) == (GRID, ())


def test_archive_without_truth_or_of_two_grids_has_no_inventory(tmp_path: Path) -> None:
    (tmp_path / ARCHIVE_HEADER).write_text("{}")
    with pytest.raises(UnusableStore, match="holds no truth"):
        take_inventory(InventoryPayload(source=parse_source(str(tmp_path))))
    source = archive(tmp_path / "archive")
    other = GridSpec.global_grid(60.0)
    write_flat_store(
        archive_store(source.path, SourceRole.TRUTH, valid_time=INIT + timedelta(hours=24)),
        grid=other,
        valid_time=INIT,
        fields=(T500,),
        data=np.zeros((1, *other.shape), dtype=np.float32),
        source="test",
    )
    with pytest.raises(UnusableStore, match="several grids"):
        take_inventory(InventoryPayload(source=source))


def test_roles_that_a_format_cannot_fill_are_refused(tmp_path: Path) -> None:
    source = grib_source(tmp_path)
    with pytest.raises(BadSource, match="a climatology must be an archive or NetCDF"):
        decode(payload(source, tmp_path / "store", SourceRole.CLIMATOLOGY))
    with pytest.raises(BadSource, match="init_time and lead_h"):
        decode(payload(source, tmp_path / "store", SourceRole.REFERENCE))
    nc = parse_source(str(netcdf_truth(tmp_path / "a.nc")))
    with pytest.raises(BadSource, match="must be an archive or GRIB, not NetCDF"):
        decode(payload(nc, tmp_path / "store", SourceRole.REFERENCE, init_time=INIT, lead_h=6))


def test_grib_reference_is_read_by_init_time_and_lead(tmp_path: Path) -> None:
    path = write(tmp_path / "a.grib", message(ramp(), step=12))
    result = decode(payload(parse_source(str(path)), tmp_path / "s", SourceRole.REFERENCE, init_time=INIT, lead_h=12))
    assert (result.fields, result.missing) == ((T500,), (Z500,))


def netcdf_truth(path: Path, *, month: bool = False) -> Path:
    """z and t at 500 hPa: at 00Z and 12Z of 2017-01-01, or means of January and July; +1000 at the second."""
    axis, values = ("month", [1, 7]) if month else ("time", [0, 12])
    attributes = {} if month else {"units": "hours since 2017-01-01 00:00:00"}
    both = np.stack([ramp(), ramp() + 1000]).astype(np.float32)[:, None]
    xr.Dataset(
        dict.fromkeys(("z", "t"), ((axis, "level", "latitude", "longitude"), both)),
        coords={
            axis: (axis, values, attributes),
            "level": [500],
            "latitude": np.linspace(90, -90, 7),
            "longitude": np.arange(12) * 30.0,
        },
    ).to_netcdf(path)
    return path


def test_netcdf_truth_is_read_by_its_time_axis(tmp_path: Path) -> None:
    source = parse_source(str(netcdf_truth(tmp_path / "a.nc")))
    noon = INIT + timedelta(hours=12)
    held = take_inventory(InventoryPayload(source=source))
    assert (held.times, held.fields, held.grid) == ((INIT, noon), (Z500, T500), GRID)
    store = FlatStore(decode(payload(source, tmp_path / "s", valid_time=noon)).path)
    np.testing.assert_array_equal(store.read(T500), ramp() + 1000)
    with pytest.raises(MissingField, match=r"nothing valid at 2017-01-01T06.*; its times are 2017-01-01T00"):
        decode(payload(source, tmp_path / "x", valid_time=INIT + timedelta(hours=6)))


def test_monthly_netcdf_is_a_climatology_by_month(tmp_path: Path) -> None:
    source = parse_source(str(netcdf_truth(tmp_path / "a.nc", month=True)))
    july = datetime(2020, 7, 20, 18, tzinfo=UTC)
    store = FlatStore(decode(payload(source, tmp_path / "s", SourceRole.CLIMATOLOGY, valid_time=july)).path)
    np.testing.assert_array_equal(store.read(Z500), ramp() + 1000)
    with pytest.raises(UnusableStore, match="no time axis"):
        take_inventory(InventoryPayload(source=source))
    with pytest.raises(UnusableStore, match="no axis 'month'"):
        truth = parse_source(str(netcdf_truth(tmp_path / "b.nc")))
        decode(payload(truth, tmp_path / "t", SourceRole.CLIMATOLOGY))


def test_time_axis_without_a_unit_is_refused(tmp_path: Path) -> None:
    netcdf_truth(tmp_path / "a.nc")
    with xr.open_dataset(tmp_path / "a.nc", decode_times=False) as dataset:
        del dataset["time"].attrs["units"]
        dataset.to_netcdf(tmp_path / "b.nc")
    with pytest.raises(UnusableStore, match="times of 'time' are not understood"):
        take_inventory(InventoryPayload(source=parse_source(str(tmp_path / "b.nc"))))


def test_netcdf_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nc").write_bytes(b"\x89HDF and then nothing")
    with pytest.raises(UnusableStore, match=r"a\.nc cannot be read as NetCDF"):
        take_inventory(InventoryPayload(source=parse_source(str(tmp_path / "a.nc"))))


def test_cut_netcdf_is_refused_or_missing_never_zero(tmp_path: Path) -> None:
    with xr.open_dataset(netcdf_truth(tmp_path / "a.nc"), decode_times=False) as dataset:
        dataset.to_netcdf(tmp_path / "classic.nc", format="NETCDF3_CLASSIC")
    whole = (tmp_path / "classic.nc").read_bytes()
    (tmp_path / "cut.nc").write_bytes(whole[: len(whole) - 400])
    source = parse_source(str(tmp_path / "cut.nc"))
    with pytest.raises(UnusableStore, match=r"cut\.nc"):
        decode(payload(source, tmp_path / "s", valid_time=INIT + timedelta(hours=12)))
