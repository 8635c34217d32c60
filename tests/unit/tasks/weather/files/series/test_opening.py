"""What a path is, told by its content."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from gaia.protocol.run_spec import FieldId, GridSpec, RunSpec, VariableSpec
from gaia.tasks.defined_tasks.weather.files.errors import (
    BadRequest,
    BadSource,
    MissingMember,
    StoreMissing,
    UnusableStore,
)
from gaia.tasks.defined_tasks.weather.files.series.opening import CLIMATOLOGY, FORECAST, TRUTH, open_series
from gaia.tasks.defined_tasks.weather.files.store.flat_store import write_flat_store
from gaia.tasks.defined_tasks.weather.supply.embedded import build_archive
from tests.support.weather_files import truth, write
from tests.unit.tasks.weather.files.store import synthetic_grib

INIT_TIME = datetime(2020, 1, 15, tzinfo=UTC)


def test_grib_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    file = synthetic_grib.write(tmp_path / "no_suffix", synthetic_grib.message(synthetic_grib.ramp()))
    series, member = open_series([f"grib:{file}"], TRUTH)
    assert series.fields() == (FieldId("t", 500),)
    assert member is None


def test_a_flat_store_is_one_instant(tmp_path: Path) -> None:
    grid = GridSpec.global_grid(30.0)
    values = np.full((1, *grid.shape), 280.0, dtype=np.float32)
    write_flat_store(
        tmp_path / "flat", grid=grid, valid_time=INIT_TIME, fields=(FieldId("2t"),), data=values, source="a test"
    )
    series, _ = open_series([str(tmp_path / "flat")], TRUTH)
    (instant,) = series.instants()
    assert instant.valid_time == INIT_TIME
    assert series.unit(FieldId("2t")) == "K"
    np.testing.assert_array_equal(series.read(FieldId("2t"), instant), values[0])


@pytest.mark.slow
def test_an_archive_is_truth_forecast_and_climatology(tmp_path: Path) -> None:
    spec = RunSpec(
        variables=(VariableSpec(name="z", levels_hpa=(500,)),),
        lead_h=(6, 12),
        scored_lead_h=(12,),
        gate_lead_h=None,
        grid=GridSpec.global_grid(10.0),
    )
    build_archive(tmp_path / "world", spec, INIT_TIME, seed=1)
    opened = {what: open_series([str(tmp_path / "world")], what)[0] for what in (TRUTH, FORECAST, CLIMATOLOGY)}
    assert [i.lead for i in opened[FORECAST].instants()] == [timedelta(hours=6), timedelta(hours=12)]
    assert INIT_TIME in [i.valid_time for i in opened[TRUTH].instants()]
    assert {(i.month, i.day_of_month) for i in opened[CLIMATOLOGY].instants()} >= {(1, 15)}


def test_a_folder_that_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableStore, match="neither a flat store nor Zarr"):
        open_series([str(tmp_path)], TRUTH)


def test_an_archive_without_stores_is_refused(tmp_path: Path) -> None:
    (tmp_path / "archive.json").write_text("{}")
    with pytest.raises(UnusableStore, match="holds no truth"):
        open_series([str(tmp_path)], TRUTH)


def test_paths_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match=r"the forecast '.*nowhere' does not exist"):
        open_series([str(tmp_path / "nowhere")], FORECAST)
    (tmp_path / "empty").touch()
    with pytest.raises(BadRequest, match="is empty"):
        open_series([str(tmp_path / "empty")], FORECAST)


def test_a_member_is_chosen_by_number(tmp_path: Path) -> None:
    members = xr.concat([truth(), truth()], dim="number").assign_coords(number=[0, 7])
    path = write(members, tmp_path / "ens.nc")
    assert open_series([f"{path}?member=7"], TRUTH)[1] == 7
    assert open_series([str(path)], FORECAST)[1] is None
    with pytest.raises(MissingMember, match=r"say which one, like .*\?member=0"):
        open_series([str(path)], TRUTH)
    with pytest.raises(MissingMember, match="has no member 3; it has 0, 7"):
        open_series([f"{path}?member=3"], TRUTH)
    with pytest.raises(BadSource, match="only member=NUMBER"):
        open_series([f"{path}?step=3"], TRUTH)
