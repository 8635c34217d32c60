"""Stores of strangers: the names in use are understood, the rest is refused by name."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Literal

import numcodecs
import numpy as np
import pytest
import xarray as xr
import zarr

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.files.errors import IrregularGrid, MissingField, UnusableStore
from gaia.tasks.defined_tasks.weather.files.store.open_store import open_store

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")

LATITUDE = np.linspace(90, -90, 7)
LONGITUDE = np.arange(12) * 30.0


def field(offset: float = 0.0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.arange(84, dtype=np.float32).reshape(7, 12) + np.float32(offset)


def dataset(variables: dict[str, Any], **coordinates: Any) -> xr.Dataset:
    return xr.Dataset(variables, coords={"lat": LATITUDE, "lon": LONGITUDE, **coordinates})


def surface(**variables: Any) -> xr.Dataset:
    return dataset({name: (("lat", "lon"), values) for name, values in variables.items()})


@pytest.mark.parametrize("consolidated", [True, False])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_of_one_point_without_time_is_read(tmp_path: Path, zarr_format: Literal[2, 3], consolidated: bool) -> None:
    one = xr.Dataset({"t2m": 290.5, "msl": 101_000.0}, coords={"lat": np.float32(51.1), "lon": 0.25})
    one.to_zarr(tmp_path / "one", zarr_format=zarr_format, consolidated=consolidated)
    store = open_store(tmp_path / "one", lead_h=12)
    assert store.fields() == (FieldId("2t"), FieldId("msl"))
    assert (store.latitude.tolist(), store.longitude.tolist()) == ([51.1], [0.25])
    assert store.read(FieldId("2t")).tolist() == [[290.5]]


def test_point_with_axes_of_length_one_is_read(tmp_path: Path) -> None:
    one = xr.Dataset({"2m_temperature": (("time", "lat", "lon"), [[[290.5]]])}, coords={"lat": [51.5], "lon": [0.0]})
    one.to_netcdf(tmp_path / "one.nc")
    assert open_store(tmp_path / "one.nc").read(FieldId("2t")).tolist() == [[290.5]]


@pytest.mark.parametrize("form", ["zarr2", "zarr3", "netcdf"])
def test_weatherbench_layout_is_read_by_lead_and_level(tmp_path: Path, form: str) -> None:
    values = np.random.default_rng(0).random((1, 2, 3, 12, 7), dtype=np.float32)
    leads = np.array([6, 12], dtype="timedelta64[h]").astype("timedelta64[ns]")
    stranger = xr.Dataset(
        {"geopotential": (("time", "prediction_timedelta", "level", "longitude", "latitude"), values)},
        coords={
            "time": np.array(["2020-01-01"], dtype="datetime64[ns]"),
            "prediction_timedelta": leads,
            "level": [500, 850, 1000],
            "latitude": LATITUDE,
            "longitude": LONGITUDE,
        },
    )
    path = tmp_path / form
    if form == "netcdf":
        stranger.to_netcdf(path)
    else:
        stranger.to_zarr(path, zarr_format=2 if form == "zarr2" else 3)
    store = open_store(path, lead_h=12)
    assert store.fields() == (FieldId("z", 500), FieldId("z", 850), FieldId("z", 1000))
    np.testing.assert_array_equal(store.read(FieldId("z", 850)), values[0, 1, 1].T)
    with pytest.raises(MissingField, match="lead 18 h is wanted; it has 6, 12 h"):
        open_store(path, lead_h=18)
    with pytest.raises(MissingField, match="which lead is wanted was not said"):
        open_store(path)
    with pytest.raises(MissingField, match="has no field t500; it has z500, z850, z1000"):
        store.read(FieldId("t", 500))


@pytest.mark.parametrize(
    ("leads", "unit"), [([6, 12], None), ([6.0, 12.0], "hours"), ([0.25, 0.5], "days"), ([21600, 43200], "seconds")]
)
def test_numeric_leads_are_read_by_their_unit(tmp_path: Path, leads: list[float], unit: str | None) -> None:
    step = ("step", leads, {} if unit is None else {"units": unit})
    stranger = dataset({"t2m": (("step", "lat", "lon"), np.stack([field(), field(100)]))}, step=step)
    stranger.to_netcdf(tmp_path / "a.nc")
    assert open_store(tmp_path / "a.nc", lead_h=12).read(FieldId("2t"))[0, 0] == 100.0


@pytest.mark.parametrize(
    ("name", "levels", "unit"),
    [
        ("plev", [50_000.0, 85_000.0], None),
        ("level", [500, 850], "millibars"),
        ("isobaricInhPa", [500.0, 850.0], None),
        ("pressure_level", [50_000.0, 85_000.0], "Pa"),
    ],
)
def test_levels_are_read_in_hectopascal(tmp_path: Path, name: str, levels: list[float], unit: str | None) -> None:
    level = (name, levels, {} if unit is None else {"units": unit})
    stranger = dataset({"t": ((name, "lat", "lon"), np.stack([field(), field(100)]))}, **{name: level})
    stranger.to_netcdf(tmp_path / "a.nc")
    store = open_store(tmp_path / "a.nc")
    assert store.fields() == (FieldId("t", 500), FieldId("t", 850))
    assert store.read(FieldId("t", 850))[0, 0] == 100.0


def test_scalar_level_belongs_to_the_field(tmp_path: Path) -> None:
    dataset({"z": (("lat", "lon"), field())}, level=500).to_netcdf(tmp_path / "a.nc")
    assert open_store(tmp_path / "a.nc").fields() == (FieldId("z", 500),)


def test_height_in_metres_becomes_geopotential(tmp_path: Path) -> None:
    dataset({"gh": (("lat", "lon"), field(), {"units": "gpm"})}, level=500).to_netcdf(tmp_path / "a.nc")
    values = open_store(tmp_path / "a.nc").read(FieldId("z", 500))
    assert values[0, 10] == np.float32(98.0665)


def test_fill_values_become_nan_and_packed_values_are_unpacked(tmp_path: Path) -> None:
    stranger = surface(t2m=np.where(field() == 5, np.nan, field() + 250.0))
    packing = {"t2m": {"dtype": "int16", "scale_factor": 0.5, "add_offset": 270.0, "_FillValue": -32768}}
    stranger.to_netcdf(tmp_path / "a.nc", encoding=packing)
    values = open_store(tmp_path / "a.nc").read(FieldId("2t"))
    assert np.isnan(values).sum() == 1
    assert values[0, 6] == 256.0


def test_float32_coordinates_become_nominal(tmp_path: Path) -> None:
    stranger = xr.Dataset(
        {"t2m": (("lat", "lon"), np.zeros((11, 11), dtype=np.float32))},
        coords={"lat": np.arange(11, dtype=np.float32) / 10, "lon": np.arange(11, dtype=np.float32) / 10},
    )
    stranger.to_zarr(tmp_path / "a")
    assert open_store(tmp_path / "a").latitude[3] == 0.3


@pytest.mark.parametrize(
    ("stranger", "cause"),
    [
        (surface(foo=field()), "no known variable"),
        (xr.Dataset(), "0 latitude coordinates"),
        (xr.Dataset({"t2m": 1.0}, coords={"lat": 1.0}), "0 longitude coordinates"),
        (surface(t2m=field(), temperature_2m=field()), "holds 2t twice"),
        (surface(z=field()), "no known variable with its level"),
        (surface(t2m=field()).expand_dims(time=[0, 1]), "2 instants on axis 'time'"),
        (surface(t2m=field()).expand_dims(number=[0, 1]), "an axis 'number' of 2"),
        (surface(t2m=field()).expand_dims(level=[0, 1]), "surface variable 2t has 2 levels"),
        (surface(t2m=field()).expand_dims(step=2), "its leads are not known"),
        (surface(t2m=field().astype("S4")), "not numbers"),
        (dataset({"t2m": (("lat", "lon"), field(), {"units": "degC"})}), "unit 'degC' is not understood"),
        (dataset({"t2m": (("step", "lat", "lon"), field()[None])}, step=("step", [1], {"units": "moons"})), "'moons'"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(tmp_path: Path, stranger: xr.Dataset, cause: str) -> None:
    stranger.to_zarr(tmp_path / "a", zarr_format=2)
    with pytest.raises(UnusableStore, match=cause) as caught:
        open_store(tmp_path / "a", lead_h=12)
    assert str(tmp_path / "a") in str(caught.value) or "unit" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_uneven_latitudes_are_refused(tmp_path: Path) -> None:
    stranger = surface(t2m=field()).assign_coords(lat=[90, 60, 30, 1, -30, -60, -90])
    stranger.to_zarr(tmp_path / "a")
    with pytest.raises(IrregularGrid, match="latitude is not evenly spaced"):
        open_store(tmp_path / "a")


def test_file_that_is_neither_netcdf_nor_grib_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nc").write_text("hello")
    with pytest.raises(UnusableStore, match=r"a\.nc cannot be read as netcdf4"):
        open_store(tmp_path / "a.nc")


def test_damaged_chunk_is_refused_when_it_is_read(tmp_path: Path) -> None:
    surface(t2m=field()).to_zarr(tmp_path / "a", zarr_format=2)
    chunk = next((tmp_path / "a" / "t2m").glob("0.0"))
    chunk.write_bytes(chunk.read_bytes()[:20])
    store = open_store(tmp_path / "a")
    with pytest.raises(UnusableStore, match="2t cannot be read"):
        store.read(FieldId("2t"))


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "ran")


@pytest.mark.filterwarnings("ignore")
def test_pickled_objects_are_refused_without_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numcodecs.pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)  # as it once was
    surface(t2m=field()).to_zarr(tmp_path / "a", zarr_format=2)
    objects = np.empty(7, dtype=object)
    objects[:] = [Bomb(tmp_path / "evidence")] * 7
    folder = tmp_path / "a" / "lat"
    (folder / "0").write_bytes(numcodecs.Pickle().encode(objects))
    metadata = (
        '{"zarr_format": 2, "shape": [7], "chunks": [7], "dtype": "|O", "compressor": null, "fill_value": null, '
        '"order": "C", "filters": [{"id": "vlen-utf8"}, {"id": "pickle"}]}'
    )
    (folder / ".zarray").write_text(metadata)
    with pytest.raises(UnusableStore, match="are refused"):
        open_store(tmp_path / "a")
    assert not (tmp_path / "evidence").exists()
    # the bomb is real: whoever reads the array through the library sets it off
    with contextlib.suppress(TypeError, ValueError):
        zarr.open_array(folder, mode="r")[:]
    assert (tmp_path / "evidence").read_text() == "ran"
