"""A forecast from the miner's writer: what stock zarr and xarray see in it, and what our reader gives."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from gaia.contracts.errors import Fault
from gaia.protocol.manifest import ChunkDigest
from gaia.protocol.run_spec import FieldId, GridSpec, RunSpec, VariableSpec
from gaia.tasks.defined_tasks.weather.files.errors import MissingField
from gaia.tasks.defined_tasks.weather.forecast.chunk_errors import (
    ChunkMissing,
    ChunkNotCached,
    ChunkSizeWrong,
    ChunkUnreadable,
    ImplausibleValue,
    NonFiniteValue,
)
from gaia.tasks.defined_tasks.weather.forecast.forecast_store import (
    ForecastReader,
    FrozenManifestAltered,
    LeadNotInRun,
    write_zarr_metadata,
)
from gaia.tasks.defined_tasks.weather.forecast.forecast_writer import (
    ForecastExists,
    ForecastUnwritable,
    ForecastWriter,
    IncompleteForecast,
    UnwantedField,
)
from tests.support.small_forecast import INIT_TIME, SPEC, freeze, small_forecast, smooth_field

Z500 = FieldId("z", 500)
T2 = FieldId("2t")


def test_stock_zarr_reads_every_value(tmp_path: Path) -> None:
    forecast = small_forecast(tmp_path / "forecast")
    group = zarr.open_group(forecast.path, mode="r", zarr_format=3)
    for variable in SPEC.variables:
        array = group[variable.name]
        assert isinstance(array, zarr.Array)
        assert array.shape == SPEC.shape_of(variable)
    z, t2 = group["z"], group["2t"]
    assert isinstance(z, zarr.Array) and isinstance(t2, zarr.Array)
    assert np.array_equal(np.asarray(z[1, 0]), smooth_field(Z500, 24))
    assert np.array_equal(np.asarray(t2[0]), smooth_field(T2, 12))
    assert group.attrs["init_time"] == "2017-01-01T00:00:00Z"


def test_stock_xarray_opens_it_without_a_warning_and_with_cf_names(tmp_path: Path) -> None:
    forecast = small_forecast(tmp_path / "forecast")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with xr.open_zarr(forecast.path) as dataset:
            assert dataset["z"].dims == ("lead_time", "level", "latitude", "longitude")
            assert dataset["2t"].dims == ("lead_time", "latitude", "longitude")
            assert dataset["z"].attrs == {"units": "m2 s-2", "standard_name": "geopotential"}
            assert dataset["lead_time"].values.tolist() == [12, 24]
            assert dataset["level"].values.tolist() == [500, 850]
            assert dataset["latitude"].values[[0, -1]].tolist() == [90.0, -90.0]
            assert dataset["longitude"].values[[0, -1]].tolist() == [0.0, 354.0]
            chosen = dataset["z"].sel(level=500, lead_time=24).values
    assert np.array_equal(chosen, smooth_field(Z500, 24))


def test_store_opens_without_consolidated_metadata_too(tmp_path: Path) -> None:
    forecast = small_forecast(tmp_path / "forecast")
    (forecast.path / "manifest.json").unlink()  # zarr-python warns of what is no part of a store
    root = json.loads((forecast.path / "zarr.json").read_bytes())
    del root["consolidated_metadata"]
    (forecast.path / "zarr.json").write_text(json.dumps(root))
    with xr.open_zarr(forecast.path, consolidated=False) as dataset:
        assert set(dataset.data_vars) == {"2t", "z"}


def test_variables_on_different_levels_get_axes_of_their_own(tmp_path: Path) -> None:
    spec = RunSpec(
        variables=(VariableSpec(name="z", levels_hpa=(500,)), VariableSpec(name="t", levels_hpa=(500, 850))),
        lead_h=(6,),
        scored_lead_h=(6,),
        gate_lead_h=None,
        grid=GridSpec.global_grid(30.0),
    )
    write_zarr_metadata(tmp_path / "store", spec, INIT_TIME)
    with xr.open_zarr(tmp_path / "store") as dataset:
        assert dataset["z"].sizes["level_z"] == 1
        assert dataset["t"].sizes["level_t"] == 2


def test_chunk_that_was_not_fetched_reads_as_nan_in_stock_zarr_only(tmp_path: Path) -> None:
    forecast = small_forecast(tmp_path / "forecast")
    (forecast.path / "2t/c/0/0/0").unlink()
    array = zarr.open_group(forecast.path, mode="r")["2t"]
    assert isinstance(array, zarr.Array)
    assert np.isnan(np.asarray(array[0])).all()
    with pytest.raises(ChunkNotCached, match=r"chunk 2t/c/0/0/0 \(2t, lead 12 h\) is not in") as refused:
        forecast.reader().at_lead(12).read(T2)
    assert refused.value.fault is Fault.VALIDATOR
    assert refused.value.retryable


def test_reader_gives_the_written_fields_on_the_exact_grid(tmp_path: Path) -> None:
    fields = small_forecast(tmp_path / "forecast").reader().at_lead(24)
    assert fields.fields() == (T2, Z500, FieldId("z", 850))
    assert fields.latitude.tolist() == [90.0 - 6.0 * i for i in range(31)]
    assert fields.longitude.tolist() == [6.0 * i for i in range(60)]
    assert fields.name.endswith("forecast at 24 h")
    for field in fields.fields():
        assert np.array_equal(fields.read(field), smooth_field(field, 24))


def test_two_fields_read_one_after_the_other_do_not_share_memory(tmp_path: Path) -> None:
    fields = small_forecast(tmp_path / "forecast").reader().at_lead(12)
    first = fields.read(Z500)
    fields.read(T2)
    assert np.array_equal(first, smooth_field(Z500, 12))


def test_lead_or_field_that_the_run_does_not_have_is_refused(tmp_path: Path) -> None:
    reader = small_forecast(tmp_path / "forecast").reader()
    with pytest.raises(LeadNotInRun, match="lead 36 h"):
        reader.at_lead(36)
    with pytest.raises(MissingField, match="no field z700"):
        reader.at_lead(12).read(FieldId("z", 700))


def test_chunk_that_the_manifest_leaves_out_is_the_miners_fault(tmp_path: Path) -> None:
    forecast = small_forecast(tmp_path / "forecast")
    chunks = {key: digest for key, digest in forecast.manifest.chunks.items() if key != "z/c/1/0/0/0"}
    with pytest.raises(ChunkMissing, match=r"z/c/1/0/0/0 \(z at 500 hPa, lead 24 h\)") as refused:
        forecast.frozen_with(chunks).reader().at_lead(24).read(Z500)
    assert refused.value.fault is Fault.MINER


@pytest.mark.parametrize("size_bytes", [16, 7440 + 17, 1 << 40])
def test_promise_of_an_impossible_size_is_refused_without_looking(tmp_path: Path, size_bytes: int) -> None:
    forecast = small_forecast(tmp_path / "forecast")
    promise = ChunkDigest(size_bytes=size_bytes, blake3="0" * 64)
    frozen = forecast.frozen_with({**forecast.manifest.chunks, "2t/c/0/0/0": promise})
    with pytest.raises(ChunkSizeWrong, match=f"promised with {size_bytes} bytes"):
        frozen.reader().at_lead(12).read(T2)


def test_manifest_that_differs_from_the_frozen_one_is_our_fault(tmp_path: Path) -> None:
    forecast = small_forecast(tmp_path / "forecast")
    small = forecast.path / "manifest.json"
    small.write_bytes(small.read_bytes() + b" ")
    with pytest.raises(FrozenManifestAltered, match="the database froze") as refused:
        forecast.reader()
    assert refused.value.fault is Fault.VALIDATOR


def test_manifest_of_endless_length_is_not_read_to_its_end(tmp_path: Path) -> None:
    forecast = small_forecast(tmp_path / "forecast")
    with (forecast.path / "manifest.json").open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(FrozenManifestAltered, match="is longer than"):
        forecast.reader()


def test_manifest_of_another_specification_is_refused(tmp_path: Path) -> None:
    forecast = small_forecast(tmp_path / "forecast")
    other = RunSpec(variables=SPEC.variables, lead_h=(12, 24), scored_lead_h=(24,), gate_lead_h=None, grid=SPEC.grid)
    with pytest.raises(FrozenManifestAltered, match="run specification"):
        ForecastReader.open(forecast.path, spec=other, manifest_digest=forecast.manifest_digest)


def test_frozen_bytes_that_are_no_manifest_are_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b"{}")
    empty_object = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # sha256 of {}
    with pytest.raises(FrozenManifestAltered, match="is not a manifest"):
        ForecastReader.open(tmp_path, spec=SPEC, manifest_digest=empty_object)


def test_absent_manifest_or_folder_is_our_fault(tmp_path: Path) -> None:
    with pytest.raises(ChunkNotCached, match=r"manifest\.json does not exist"):
        ForecastReader.open(tmp_path, spec=SPEC, manifest_digest="0" * 64)
    with pytest.raises(ChunkNotCached):
        ForecastReader.open(tmp_path / "nowhere", spec=SPEC, manifest_digest="0" * 64)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ChunkUnreadable):
        ForecastReader.open(tmp_path / "file", spec=SPEC, manifest_digest="0" * 64)


def test_forecast_folder_that_vanished_is_our_fault(tmp_path: Path) -> None:
    forecast = small_forecast(tmp_path / "forecast")
    reader = forecast.reader()
    shutil.rmtree(forecast.path)
    forecast.path.write_bytes(b"")
    with pytest.raises(ChunkUnreadable, match="cannot be read"):
        reader.at_lead(12).read(T2)


def test_unfinished_forecast_is_refused_naming_what_lacks(tmp_path: Path) -> None:
    writer = ForecastWriter(tmp_path / "forecast", SPEC, INIT_TIME)
    writer.write(T2, 12, smooth_field(T2, 12))
    with pytest.raises(IncompleteForecast, match=r"chunk 2t/c/1/0/0 \(2t, lead 24 h\), chunk z/c/0/0/0/0"):
        writer.finish()
    assert not (tmp_path / "forecast").exists()


def test_long_list_of_missing_fields_is_cut_short(tmp_path: Path) -> None:
    spec = RunSpec(
        variables=(VariableSpec(name="2t"),), lead_h=tuple(range(6, 66, 6)), scored_lead_h=(6,),
        gate_lead_h=None, grid=GridSpec.global_grid(30.0),
    )  # fmt: skip
    with pytest.raises(IncompleteForecast, match=r"lead 30 h\) and 5 more$"):
        ForecastWriter(tmp_path / "forecast", spec, INIT_TIME).finish()


def test_what_a_killed_writer_left_is_replaced(tmp_path: Path) -> None:
    abandoned = ForecastWriter(tmp_path / "forecast", SPEC, INIT_TIME)
    abandoned.write(T2, 12, smooth_field(T2, 12) + np.float32(5.0))
    forecast = small_forecast(tmp_path / "forecast")
    assert np.array_equal(forecast.reader().at_lead(12).read(T2), smooth_field(T2, 12))
    assert [path.name for path in tmp_path.iterdir()] == ["forecast"]


def test_committed_forecast_is_never_written_over(tmp_path: Path) -> None:
    small_forecast(tmp_path / "forecast")
    with pytest.raises(ForecastExists):
        ForecastWriter(tmp_path / "forecast", SPEC, INIT_TIME)


def test_writer_refuses_what_the_validator_would(tmp_path: Path) -> None:
    writer = ForecastWriter(tmp_path / "forecast", SPEC, INIT_TIME)
    good = smooth_field(T2, 12)
    with pytest.raises(UnwantedField, match="does not ask for z700 at lead 12 h"):
        writer.write(FieldId("z", 700), 12, good)
    with pytest.raises(UnwantedField, match=r"must be float32 \(31, 60\), got float32 \(30, 60\)"):
        writer.write(T2, 12, good[1:])
    with pytest.raises(UnwantedField, match="got float64"):
        writer.write(T2, 12, good.astype(np.float64))
    with pytest.raises(NonFiniteValue):
        writer.write(T2, 12, np.full_like(good, np.nan))
    with pytest.raises(ImplausibleValue):
        writer.write(T2, 12, good - np.float32(273.15))


def test_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ForecastUnwritable, match="check free space and rights"):
        ForecastWriter(tmp_path / "file" / "forecast", SPEC, INIT_TIME)


def test_digests_are_those_of_the_files(tmp_path: Path) -> None:
    from blake3 import blake3

    forecast = small_forecast(tmp_path / "forecast")
    assert list(forecast.manifest.chunks) == [key for key, _, _ in SPEC.chunks()]
    for key, digest in forecast.manifest.chunks.items():
        content = (forecast.path / key).read_bytes()
        assert digest == ChunkDigest(size_bytes=len(content), blake3=blake3(content).hexdigest())


def test_validators_copy_becomes_a_zarr_store_by_its_own_metadata(tmp_path: Path) -> None:
    original = small_forecast(tmp_path / "forecast")
    copy = tmp_path / "copy"
    for key in original.manifest.chunks:
        (copy / key).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(original.path / key, copy / key)
    frozen = freeze(copy, original.manifest.chunks)
    write_zarr_metadata(copy, SPEC, INIT_TIME)
    with xr.open_zarr(copy) as dataset:
        assert np.array_equal(dataset["2t"].values[1], frozen.reader().at_lead(24).read(T2))
