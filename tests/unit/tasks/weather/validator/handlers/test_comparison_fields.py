"""What a worker keeps open between two forecasts of one instant, and when it looks again."""

from __future__ import annotations

import os
import shutil
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from gaia.protocol.run_spec import FieldId, GridSpec
from gaia.tasks.defined_tasks.weather.files.errors import StoreDamaged, StoreMissing
from gaia.tasks.defined_tasks.weather.files.store.flat_store import DATA_NAME, HEADER_NAME
from gaia.tasks.defined_tasks.weather.scoring.area_weighting import AreaWeighting
from gaia.tasks.defined_tasks.weather.scoring.grid import GridMismatch
from gaia.tasks.defined_tasks.weather.validator.handlers import comparison_fields as module
from gaia.tasks.defined_tasks.weather.validator.handlers.comparison_fields import Baselines
from tests.support.small_forecast import flat_store

_GRID = GridSpec.global_grid(30.0)
_FIELD = FieldId("2t")


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """Other tests of this process have scored, too."""
    module._kept.clear()
    yield
    module._kept.clear()


def _store(path: Path, value: float, grid: GridSpec = _GRID) -> str:
    return flat_store(path, {_FIELD: np.full(grid.shape, value, dtype=np.float32)}, grid)


def _baselines(*paths: str | None, weighting: AreaWeighting = AreaWeighting.CELL) -> Baselines:
    truth, climatology, reference = (*paths, None, None)[:3]
    assert truth is not None
    return Baselines.of(truth, climatology, reference, weighting)


def test_the_second_forecast_finds_open_what_the_first_one_opened(tmp_path: Path) -> None:
    paths = _store(tmp_path / "t", 280.0), _store(tmp_path / "c", 281.0), _store(tmp_path / "r", 283.0)
    first = _baselines(*paths)
    assert _baselines(*paths) is first
    assert first.yardstick(_FIELD) is first.yardstick(_FIELD)
    assert _baselines(*paths, weighting=AreaWeighting.COSINE) is not first
    assert _baselines(*paths[:2]) is not first


def test_no_more_than_two_instants_are_kept_and_the_one_not_used_goes(tmp_path: Path) -> None:
    a, b, c = (_store(tmp_path / name, 280.0) for name in "abc")
    first, second = _baselines(a), _baselines(b)
    assert _baselines(a) is first
    third = _baselines(c)
    assert (_baselines(c), _baselines(a)) == (third, first)
    assert _baselines(b) is not second


def test_a_store_that_was_replaced_is_opened_again(tmp_path: Path) -> None:
    path = _store(tmp_path / "t", 280.0)
    forecast = np.full(_GRID.shape, 280.0, dtype=np.float32)
    assert _baselines(path).yardstick(_FIELD).moments(forecast).squared_error == 0.0
    shutil.rmtree(path)
    _store(tmp_path / "t", 282.0)
    assert _baselines(path).yardstick(_FIELD).moments(forecast).squared_error == pytest.approx(4.0, rel=1e-15)


def test_a_store_of_the_same_size_and_time_in_its_place_is_seen(tmp_path: Path) -> None:
    path = _store(tmp_path / "t", 280.0)
    for value in range(281, 300):  # a file that is mapped keeps its inode from being given to the next one
        kept = _baselines(path)
        assert kept.truth.read(_FIELD)[0, 0] == value - 1
        shutil.rmtree(path)
        _store(tmp_path / "t", value)
        for name in (HEADER_NAME, DATA_NAME):
            os.utime(Path(path) / name, ns=(0, 0))


def test_a_store_that_is_gone_or_cut_short_is_not_scored_against(tmp_path: Path) -> None:
    gone, cut = (_store(tmp_path / name, 280.0) for name in ("gone", "cut"))
    _baselines(gone)
    _baselines(cut)
    shutil.rmtree(gone)
    (Path(cut) / DATA_NAME).write_bytes(b"short")
    with pytest.raises(StoreDamaged, match="but its header says"):
        _baselines(cut)
    with pytest.raises(StoreMissing, match="does not exist"):
        _baselines(gone)
    assert not module._kept


def test_a_store_of_strangers_is_opened_every_time(tmp_path: Path) -> None:
    latitude, longitude = np.linspace(90, -90, 7), 30.0 * np.arange(12)
    values = xr.DataArray(np.full((7, 12), 280.0), {"lat": latitude, "lon": longitude}, ("lat", "lon"))
    values.astype("float32").to_dataset(name="2t").to_netcdf(tmp_path / "t.nc")
    path = str(tmp_path / "t.nc")
    assert _baselines(path) is not _baselines(path)
    assert not module._kept


def test_the_fields_of_a_store_of_strangers_do_not_pile_up(tmp_path: Path) -> None:
    levels, latitude, longitude = np.arange(100, 1001, 50), np.linspace(90, -90, 91), 2.0 * np.arange(180)
    values = np.random.default_rng(1).normal(270.0, 10.0, (levels.size, 91, 180)).astype("float32")
    axes = {"level": ("level", levels, {"units": "hPa"}), "lat": latitude, "lon": longitude}
    xr.DataArray(values, axes, ("level", "lat", "lon")).to_dataset(name="t").to_netcdf(tmp_path / "t.nc")
    baselines = _baselines(str(tmp_path / "t.nc"))
    baselines.yardstick(FieldId("t", 500))
    tracemalloc.start()
    try:
        for index, level_hpa in enumerate(levels.tolist()):
            field = FieldId("t", level_hpa)
            assert baselines.yardstick(field).moments(values[index]).absolute_error == 0.0
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 3 * values[0].nbytes


def test_another_grid_is_refused_by_name(tmp_path: Path) -> None:
    truth, coarse = _store(tmp_path / "t", 280.0), _store(tmp_path / "c", 280.0, GridSpec.global_grid(60.0))
    with pytest.raises(GridMismatch, match=f"the climatology {coarse} has 4 x 6 points, expected 7 x 12"):
        _baselines(truth, coarse)
