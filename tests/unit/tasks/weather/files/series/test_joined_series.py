"""Files that belong together are one series; what two of them hold is refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.files.errors import BadSource, MissingField, MissingMember, UnusableStore
from gaia.tasks.defined_tasks.weather.files.series.joined_series import JoinedSeries
from gaia.tasks.defined_tasks.weather.files.series.opening import FORECAST, TRUTH, open_series
from gaia.tasks.defined_tasks.weather.files.series.xarray_series import XarraySeries
from gaia.tasks.defined_tasks.weather.scoring.grid import GridMismatch
from tests.support.weather_files import forecast, truth, weather, write


def _joined(*datasets: xr.Dataset) -> JoinedSeries:
    return JoinedSeries([XarraySeries(dataset, f"part {n}") for n, dataset in enumerate(datasets)])


def test_starts_of_several_files_are_one_forecast() -> None:
    series = _joined(forecast((0,)), forecast((12,)))
    assert [i.lead for i in series.instants()] == [timedelta(hours=h) for h in (12, 24, 12, 24)]
    read = series.read(FieldId("2t"), series.instants()[2])
    np.testing.assert_array_equal(read, weather(24, "2t") + np.float32(1))
    assert series.name == "part 0 and 1 more"


def test_variables_may_lie_in_files_of_their_own() -> None:
    series = _joined(truth()[["z"]], truth()[["2t"]])
    assert series.fields() == (FieldId("2t"), FieldId("z", 500), FieldId("z", 850))
    assert len(series.instants()) == 4
    for field in series.fields():
        read = series.read(field, series.instants()[1])
        np.testing.assert_array_equal(read, weather(12, field.variable, field.level_hpa))


def test_a_field_that_no_file_has_at_an_instant_is_named() -> None:
    series = _joined(truth((0,))[["z"]], truth((12,))[["2t"]])
    with pytest.raises(MissingField, match=r"none of part 0 and 1 more has 2t valid at 2020-01-01T00:00Z"):
        series.read(FieldId("2t"), series.instants()[0])


def test_files_that_do_not_go_together_are_named() -> None:
    with pytest.raises(UnusableStore, match=r"part 0 and part 1 both hold 2t valid at 2020-01-01T12:00Z"):
        _joined(truth((0, 12))[["2t"]], truth((12, 24)))
    with pytest.raises(GridMismatch, match=r"part 0: part 1, given together with part 0, has 7 x 6 points"):
        _joined(truth((0,)), truth((12,)).isel(lon=slice(0, 6)))
    members = truth((12,)).expand_dims(number=[0, 1])
    with pytest.raises(MissingMember, match=r"part 1 holds members \(0, 1\), part 0 none"):
        _joined(truth((0,)), members)


def test_a_pattern_is_all_files_that_match(tmp_path: Path) -> None:
    for start in (0, 12):
        write(forecast((start,)), tmp_path / f"fc_{start:02}.nc")
    assert len(open_series([str(tmp_path / "fc_*.nc")], FORECAST)[0].instants()) == 4
    assert len(open_series([str(tmp_path / f"fc_{h}.nc") for h in ("00", "12")], FORECAST)[0].instants()) == 4
    write(truth((0,)).expand_dims(number=[0, 7]), tmp_path / "ens_0.nc")
    write(truth((12,)).expand_dims(number=[0, 7]), tmp_path / "ens_1.nc")
    series, member = open_series([f"{tmp_path / 'ens_*.nc'}?member=7"], TRUTH)
    assert (len(series.instants()), member) == (2, 7)
    with pytest.raises(BadSource, match="must all be of one member"):
        open_series([f"{tmp_path / 'ens_0.nc'}?member=7", str(tmp_path / "ens_1.nc")], FORECAST)
