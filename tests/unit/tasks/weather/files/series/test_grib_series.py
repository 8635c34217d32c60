"""GRIB files: every field is found again at its place."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.files.errors import MissingField, TruncatedGrib, UnusableStore
from gaia.tasks.defined_tasks.weather.files.series.grib_series import GribSeries
from tests.support.real_data import ERA5_GRIB, GFS_GRIB, needs_real_data
from tests.unit.tasks.weather.files.store.synthetic_grib import message, ramp, write

T500, T850 = FieldId("t", 500), FieldId("t", 850)


def test_fields_are_read_by_instant_in_any_order(tmp_path: Path) -> None:
    file = write(
        tmp_path / "fc.grib",
        message(ramp(), stepRange=12),
        message(ramp() + 1, stepRange=24),
        b"\0" * 100,  # padding between messages
        message(ramp() + 2, stepRange=24, level=850),
    )
    series = GribSeries(file)
    assert series.fields() == (T500, T850)
    first, second = series.instants()
    assert [i.lead for i in (first, second)] == [timedelta(hours=12), timedelta(hours=24)]
    np.testing.assert_allclose(series.read(T850, second), ramp() + 2, atol=1e-4)
    np.testing.assert_allclose(series.read(T500, first), ramp(), atol=1e-4)
    np.testing.assert_allclose(series.read(T500, second), ramp() + 1, atol=1e-4)
    with pytest.raises(MissingField, match=r"has no t850 started 2017-01-01T00:00Z \+12 h"):
        series.read(T850, first)
    with pytest.raises(MissingField, match="has no field q500"):
        series.read(FieldId("q", 500), first)


def test_a_field_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableStore, match=r"holds t500 .* more than once"):
        GribSeries(write(tmp_path / "twice.grib", message(ramp()), message(ramp())))


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableStore, match="no field of the table"):
        GribSeries(write(tmp_path / "rh.grib", message(ramp(), shortName="r")))


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TruncatedGrib):
        GribSeries(write(tmp_path / "cut.grib", message(ramp()), message(ramp(), level=850)[:-50]))


@needs_real_data
@pytest.mark.real_data
def test_both_winds_of_a_shared_message_are_read() -> None:
    series = GribSeries(GFS_GRIB)
    (instant,) = series.instants()
    u, v = (series.read(FieldId(name, 500), instant) for name in ("u", "v"))
    # The jet blows eastward; the meridional wind has no such mean.
    assert u.mean() > 5.0 > abs(v.mean())


@needs_real_data
@pytest.mark.real_data
def test_members_of_an_ensemble_are_told_apart() -> None:
    series = GribSeries(ERA5_GRIB)
    instant = series.instants()[0]
    assert series.members == tuple(range(10))
    first, last = (series.read(FieldId("z", 500), instant, member) for member in (0, 9))
    assert 0 < np.abs(first - last).max() < 500
