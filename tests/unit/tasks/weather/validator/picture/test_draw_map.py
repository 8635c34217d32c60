"""The picture: that it is one, that it shows what it says, and that it refuses what cannot be drawn."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from gaia.protocol.run_spec import FieldId, GridSpec, RunSpec, VariableSpec
from gaia.tasks.defined_tasks.weather.files.store.flat_store import write_flat_store
from gaia.tasks.defined_tasks.weather.forecast.chunk_codec import encode_field
from gaia.tasks.defined_tasks.weather.forecast.chunk_errors import ChunkDigestMismatch
from gaia.tasks.defined_tasks.weather.validator.handlers.verify_payloads import PicturePayload
from gaia.tasks.defined_tasks.weather.validator.picture.display_units import quantity_of
from gaia.tasks.defined_tasks.weather.validator.picture.draw_map import (
    NotAMap,
    PictureUnwritable,
    handle_picture,
    scene_of,
)
from tests.support.disks import fill, tmpfs_of
from tests.support.small_forecast import (
    HOTKEY,
    INIT_TIME,
    RUN_ID,
    SPEC,
    FrozenForecast,
    small_forecast,
    smooth_field,
)

Z500 = FieldId("z", 500)
T2 = FieldId("2t")


def flat_store(path: Path, field: FieldId, values: NDArray[np.float32], spec: RunSpec = SPEC) -> str:
    write_flat_store(path, grid=spec.grid, valid_time=None, fields=[field], data=values[None], source="test")
    return str(path)


def payload(forecast: FrozenForecast, truth: str, **changes: Any) -> dict[str, Any]:
    request = PicturePayload(
        title="Gaia demo",
        run_id=RUN_ID,
        hotkey=HOTKEY,
        label="barotropic",
        forecast_path=str(forecast.path),
        manifest_digest=forecast.manifest_digest,
        spec=forecast.spec,
        lead_h=24,
        field=Z500,
        truth_path=truth,
        climatology_path=None,
        destination=str(forecast.path.parent / "pictures" / "z500.png"),
    )
    plain: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(request, **changes))
    return plain


def assert_is_png(path: Path) -> None:
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    assert (width, height) == (1690, 1092)  # 13.0 x 8.4 inches at 130 dots per inch


def test_picture_is_written_whole_and_replaced(tmp_path: Path) -> None:
    forecast = small_forecast(tmp_path / "forecast")
    truth = flat_store(tmp_path / "truth", Z500, smooth_field(Z500, 30))
    destination = tmp_path / "pictures" / "z500.png"
    destination.parent.mkdir()
    destination.write_bytes(b"an older one")
    result = handle_picture(payload(forecast, truth))
    assert result == {"path": str(destination), "size_bytes": destination.stat().st_size}
    assert_is_png(destination)
    assert [path.name for path in destination.parent.iterdir()] == ["z500.png"]


def test_height_is_shown_in_decametres_and_its_error_in_metres(tmp_path: Path) -> None:
    """10 gpm too high everywhere: RMSE and bias are 10 m by hand, and with the truth one gpm above climatology
    and the forecast eleven, the anomalies are parallel: ACC 1."""
    truth_values = np.full(SPEC.grid.shape, 5500.0 * 9.80665, dtype=np.float32)
    forecast = small_forecast(tmp_path / "forecast")
    raised = encode_field((truth_values + np.float32(98.0665)).astype(np.float32))
    forecast = forecast.replace_chunk("z/c/1/0/0/0", raised)
    climatology = flat_store(tmp_path / "clim", Z500, (truth_values - np.float32(9.80665)).astype(np.float32))
    truth = flat_store(tmp_path / "truth", Z500, truth_values)
    request = msgspec.convert(payload(forecast, truth, climatology_path=climatology), PicturePayload)
    scene = scene_of(request)
    assert scene.truth == pytest.approx(np.full(SPEC.grid.shape, 550.0), abs=1e-3)
    assert scene.forecast == pytest.approx(np.full(SPEC.grid.shape, 551.0), abs=1e-3)
    assert scene.error == pytest.approx(np.full(SPEC.grid.shape, 10.0), abs=1e-3)
    assert scene.scores == "RMSE 10 m   bias +10 m   ACC 1.000"
    assert scene.init_time == INIT_TIME


def test_climatology_without_the_field_leaves_out_the_correlation(tmp_path: Path) -> None:
    truth = flat_store(tmp_path / "truth", T2, smooth_field(T2, 24))
    climatology = flat_store(tmp_path / "clim", Z500, smooth_field(Z500, 24))
    request = payload(small_forecast(tmp_path / "forecast"), truth, field=T2, climatology_path=climatology)
    assert scene_of(msgspec.convert(request, PicturePayload)).scores == "RMSE 0 K   bias +0 K"


@pytest.mark.parametrize(
    ("field", "value", "shown", "unit"),
    [
        (FieldId("2t"), 273.15, 0.0, "°C"),
        (FieldId("msl"), 101_325.0, 1013.25, "hPa"),
        (FieldId("q", 850), 0.008, 8.0, "g/kg"),
        (FieldId("u", 250), -12.5, -12.5, "m/s"),
    ],
)
def test_quantities_are_shown_in_the_units_people_read(field: FieldId, value: float, shown: float, unit: str) -> None:
    quantity = quantity_of(field)
    assert float(quantity.shown(np.array([value]))[0]) == pytest.approx(shown)
    assert quantity.unit == unit


def test_title_names_variable_and_level() -> None:
    assert quantity_of(FieldId("t", 850)).name == "850 hPa temperature"
    assert quantity_of(FieldId("10u")).name == "10 m eastward wind"


def test_perfect_flat_forecast_can_be_drawn(tmp_path: Path) -> None:
    """No range in the field and none in the error: nothing to scale colours by."""
    forecast = small_forecast(tmp_path / "forecast")
    flat = np.full(SPEC.grid.shape, 280.0, dtype=np.float32)
    forecast = forecast.replace_chunk("2t/c/1/0/0", encode_field(flat))
    truth = flat_store(tmp_path / "truth", T2, flat)
    handle_picture(payload(forecast, truth, field=T2))
    assert_is_png(tmp_path / "pictures" / "z500.png")


def test_truth_with_gaps_is_drawn_where_it_has_values(tmp_path: Path) -> None:
    values = smooth_field(T2, 24) + np.float32(2.0)
    values[:10] = np.nan
    values[20, 5] = np.nan
    truth = flat_store(tmp_path / "truth", T2, values)
    request = payload(small_forecast(tmp_path / "forecast"), truth, field=T2)
    assert scene_of(msgspec.convert(request, PicturePayload)).scores == "RMSE 2 K   bias -2 K"
    handle_picture(request)
    assert_is_png(tmp_path / "pictures" / "z500.png")


def test_regional_grid_is_drawn(tmp_path: Path) -> None:
    grid = GridSpec(
        latitude_first=35.0, latitude_step=1.0, latitude_count=30,
        longitude_first=-20.0, longitude_step=1.0, longitude_count=60,
    )  # fmt: skip
    spec = RunSpec(variables=(VariableSpec(name="2t"),), lead_h=(24,), scored_lead_h=(24,), gate_lead_h=None, grid=grid)
    forecast = small_forecast(tmp_path / "forecast", spec)
    truth = flat_store(tmp_path / "truth", T2, smooth_field(T2, 12, spec), spec)
    handle_picture(payload(forecast, truth, field=T2))
    assert_is_png(tmp_path / "pictures" / "z500.png")


def test_a_miners_label_is_text_and_never_markup(tmp_path: Path) -> None:
    truth = flat_store(tmp_path / "truth", Z500, smooth_field(Z500, 30))
    label = "$\\frac{broken$ model\n\x1b[31m" + "x" * 500
    request = payload(small_forecast(tmp_path / "forecast"), truth, label=label)
    shown = scene_of(msgspec.convert(request, PicturePayload)).label
    assert shown.startswith("$\\frac{broken$ model [31mxxx")
    assert len(shown) == 90
    handle_picture(request)
    assert_is_png(tmp_path / "pictures" / "z500.png")


def test_altered_forecast_is_refused_here_too(tmp_path: Path) -> None:
    forecast = small_forecast(tmp_path / "forecast")
    chunk = forecast.path / "z/c/1/0/0/0"
    content = bytearray(chunk.read_bytes())
    content[-1] ^= 1
    chunk.write_bytes(content)
    truth = flat_store(tmp_path / "truth", Z500, smooth_field(Z500, 30))
    with pytest.raises(ChunkDigestMismatch):
        handle_picture(payload(forecast, truth))
    assert not (tmp_path / "pictures").exists()


def test_truth_without_any_value_or_on_another_grid_is_refused(tmp_path: Path) -> None:
    forecast = small_forecast(tmp_path / "forecast")
    empty = flat_store(tmp_path / "empty", Z500, np.full(SPEC.grid.shape, np.nan, dtype=np.float32))
    with pytest.raises(NotAMap, match="holds no value of z500"):
        handle_picture(payload(forecast, empty))
    coarse = msgspec.structs.replace(SPEC, grid=GridSpec.global_grid(12.0))
    other = flat_store(tmp_path / "other", Z500, smooth_field(Z500, 30, coarse), coarse)
    with pytest.raises(NotAMap, match="lies on another grid"):
        handle_picture(payload(forecast, other))


def test_field_without_extent_is_refused(tmp_path: Path) -> None:
    grid = GridSpec(
        latitude_first=50.0, latitude_step=-1.0, latitude_count=1,
        longitude_first=0.0, longitude_step=1.0, longitude_count=1,
    )  # fmt: skip
    spec = RunSpec(variables=(VariableSpec(name="2t"),), lead_h=(24,), scored_lead_h=(24,), gate_lead_h=None, grid=grid)
    forecast = small_forecast(tmp_path / "forecast", spec)
    truth = flat_store(tmp_path / "truth", T2, smooth_field(T2, 24, spec), spec)
    with pytest.raises(NotAMap, match="has 1 x 1 points"):
        handle_picture(payload(forecast, truth, field=T2))


def test_unwritable_destination_is_named_with_the_fix(tmp_path: Path) -> None:
    truth = flat_store(tmp_path / "truth", Z500, smooth_field(Z500, 30))
    (tmp_path / "file").write_bytes(b"")
    request = payload(small_forecast(tmp_path / "forecast"), truth, destination=str(tmp_path / "file" / "z500.png"))
    with pytest.raises(PictureUnwritable, match="check free space and rights"):
        handle_picture(request)


@pytest.mark.slow
def test_a_full_disk_takes_no_part_of_a_picture_and_leaves_the_older_one(tmp_path: Path) -> None:
    truth = flat_store(tmp_path / "truth", Z500, smooth_field(Z500, 30))
    with tmpfs_of(tmp_path / "disk", "size=64k") as disk:
        request = payload(small_forecast(tmp_path / "forecast"), truth, destination=str(disk / "z500.png"))
        (disk / "z500.png").write_bytes(b"an older one")
        fill(disk / "ballast")
        os.truncate(disk / "ballast", 40 * 1024)  # room for a part of it
        with pytest.raises(PictureUnwritable, match="No space left on device"):
            handle_picture(request)
        assert {path.name for path in disk.iterdir()} == {"ballast", "z500.png"}
        assert (disk / "z500.png").read_bytes() == b"an older one"
        (disk / "ballast").unlink()
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True, timeout=30)
        handle_picture(request)
        assert_is_png(disk / "z500.png")


@pytest.mark.slow
def test_a_spoilt_list_of_fonts_on_a_full_disk_costs_no_picture_and_is_made_anew_once_there_is_room(
    tmp_path: Path,
) -> None:
    """matplotlib keeps what fonts there are in a file that it does not write whole."""
    program = (
        "from pathlib import Path; import sys\n"
        "from tests.unit.tasks.weather.validator.picture.test_draw_map import *\n"
        "folder = Path(sys.argv[1])\n"
        "truth = flat_store(folder / 'truth', Z500, smooth_field(Z500, 30))\n"
        "handle_picture(payload(small_forecast(folder / 'forecast'), truth))\n"
        "assert_is_png(folder / 'pictures' / 'z500.png')"
    )

    def drawn(folder: str) -> None:
        command = [sys.executable, "-c", program, str(tmp_path / folder)]
        subprocess.run(command, env={**os.environ, "MPLCONFIGDIR": str(disk)}, check=True, timeout=100)

    with tmpfs_of(tmp_path / "disk", "size=256k") as disk:
        drawn("first")
        (fonts,) = disk.glob("fontlist-*.json")
        whole = fonts.read_bytes()
        os.truncate(fonts, len(whole) // 2)
        fill(disk / "ballast")
        drawn("full")
        (disk / "ballast").unlink()
        os.truncate(fonts, 0)
        drawn("room")
        assert sorted(fonts.read_bytes()) == sorted(whole), "in whatever order"
