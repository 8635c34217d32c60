"""A forecast that is told when it started: whatever reads it, its fields are found under their new instants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from gaia.protocol.run_spec import FieldId, GridSpec
from gaia.tasks.defined_tasks.weather.files.errors import BadRequest
from gaia.tasks.defined_tasks.weather.files.series.joined_series import JoinedSeries
from gaia.tasks.defined_tasks.weather.files.series.opening import FORECAST, open_series
from gaia.tasks.defined_tasks.weather.files.series.series import Series
from gaia.tasks.defined_tasks.weather.files.series.started_series import StartedSeries
from gaia.tasks.defined_tasks.weather.files.series.xarray_series import XarraySeries
from gaia.tasks.defined_tasks.weather.files.store.flat_store import write_flat_store
from tests.support.weather_files import forecast, truth, weather

_START = datetime(2020, 1, 1, tzinfo=UTC)
_2T = FieldId("2t")


def _of(dataset: xr.Dataset) -> Series:
    return XarraySeries(dataset, "fc")


def _leads_h(series: StartedSeries) -> list[float]:
    return [lead / timedelta(hours=1) for i in series.instants() if (lead := i.lead) is not None]


def test_a_start_makes_leads_of_valid_times() -> None:
    started = StartedSeries(_of(truth((12, 24))), _START)
    assert _leads_h(started) == [12, 24]
    np.testing.assert_array_equal(started.read(_2T, started.instants()[1]), weather(24, "2t"))


def test_a_start_gives_bare_leads_their_valid_times() -> None:
    bare = forecast((0,)).isel(time=0, drop=True)
    started = StartedSeries(_of(bare), _START)
    assert [i.valid_time for i in started.instants()] == [_START + timedelta(hours=h) for h in (12, 24)]


def test_a_file_that_says_when_it_started_is_not_overruled() -> None:
    with pytest.raises(BadRequest, match=r"fc says itself when it started: 2020-01-01 00:00:00\+00:00"):
        StartedSeries(_of(forecast((0,))), _START + timedelta(hours=1))


def test_files_that_are_given_together_may_be_told() -> None:
    started = StartedSeries(JoinedSeries([_of(truth((12,))), _of(truth((24,)))]), _START)
    assert _leads_h(started) == [12, 24]
    np.testing.assert_array_equal(started.read(_2T, started.instants()[1]), weather(24, "2t"))


def test_a_flat_store_may_be_told(tmp_path: Path) -> None:
    grid = GridSpec(
        latitude_first=90.0,
        latitude_step=-30.0,
        latitude_count=7,
        longitude_first=0.0,
        longitude_step=30.0,
        longitude_count=12,
    )
    data = weather(12, "2t")[None]
    valid_time = _START + timedelta(hours=12)
    write_flat_store(tmp_path / "fc", grid=grid, valid_time=valid_time, fields=[_2T], data=data, source="a test")
    series, _ = open_series([str(tmp_path / "fc")], FORECAST)
    started = StartedSeries(series, _START)
    assert _leads_h(started) == [12]
    np.testing.assert_array_equal(started.read(_2T, started.instants()[0]), data[0])
