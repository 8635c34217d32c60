"""The functions for people with xarray: any variable, any further axes, the kernel's numbers."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

import gaia
from gaia.tasks.defined_tasks.weather.files.errors import BadRequest, UnmatchedTimes, UnusableValues
from gaia.tasks.defined_tasks.weather.scoring.grid import Grid, GridMismatch
from tests.support.weather_files import forecast, truth, with_winds

FORECAST, TRUTH = forecast().geopotential, truth().z


def test_axes_stay_and_truth_is_taken_at_the_valid_time() -> None:
    found = gaia.rmse(FORECAST, TRUTH)
    assert found.dims == ("time", "prediction_timedelta", "level")
    assert found.name == "geopotential"
    np.testing.assert_allclose(found, 100.0, atol=0.01)
    xr.testing.assert_equal(found.level, FORECAST.level)


def test_agreement_with_plain_xarray() -> None:
    rng = np.random.default_rng(1)
    fc, an = (TRUTH + rng.normal(0, 50, TRUTH.shape) for _ in range(2))
    weights = xr.DataArray(Grid.of(TRUTH.lat.values, TRUTH.lon.values).area_weights(), {"lat": TRUTH.lat})
    squared = ((fc.astype("f4") - an.astype("f4")).astype("f8") ** 2).weighted(weights).mean(("lat", "lon"))
    np.testing.assert_allclose(gaia.mse(fc, an), squared, rtol=1e-12)
    np.testing.assert_allclose(gaia.rmse(fc, an, over=["time"]), np.sqrt(squared.mean("time")), rtol=1e-12)


def test_order_of_axes_levels_and_latitudes_does_not_matter() -> None:
    turned = TRUTH.transpose("lon", "level", "time", "lat").isel(level=[1, 0], lat=slice(None, None, -1))
    xr.testing.assert_allclose(gaia.rmse(FORECAST, turned), gaia.rmse(FORECAST, TRUTH), rtol=1e-12)


def test_datasets_are_scored_variable_by_variable() -> None:
    renamed = truth().rename({"2t": "2m_temperature", "z": "geopotential"})
    found = gaia.bias(forecast(), renamed, over=("time", "prediction_timedelta"))
    assert float(found["2m_temperature"]) == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_allclose(found.geopotential, [100.0, 100.0], atol=0.01)
    with pytest.raises(BadRequest, match="share no variable"):
        gaia.mae(forecast(), truth())


def test_anomaly_correlation_and_skill() -> None:
    usual = TRUTH.isel(time=0, drop=True)
    assert float(gaia.acc(TRUTH, TRUTH, usual).sel(level=500)[1]) == pytest.approx(1.0)
    worse = FORECAST + 100.0
    np.testing.assert_allclose(gaia.skill_score(FORECAST, TRUTH, reference=worse), 0.75, atol=1e-3)
    against_usual = gaia.skill_score(FORECAST, TRUTH, climatology=usual)
    assert against_usual.shape == (2, 2, 2)
    assert float(gaia.pattern_correlation(FORECAST, TRUTH)[0, 0, 0]) == pytest.approx(1.0)
    assert float(gaia.mae(FORECAST, TRUTH, region="tropics")[0, 0, 0]) == pytest.approx(100.0, abs=0.01)


def test_members_stay_an_axis() -> None:
    members = xr.concat([FORECAST, FORECAST + 50], dim="number").assign_coords(number=[3, 5])
    np.testing.assert_allclose(gaia.bias(members, TRUTH)[:, 0, 0, 0], [100, 150], atol=0.02)


def test_what_cannot_be_compared_raises() -> None:
    with pytest.raises(BadRequest, match="either climatology or reference"):
        gaia.skill_score(FORECAST, TRUTH)
    with pytest.raises(BadRequest, match="no axis 'years'"):
        gaia.rmse(FORECAST, TRUTH, over=["years"])
    with pytest.raises(UnmatchedTimes, match="the truth has 0 entries at level 850"):
        gaia.rmse(FORECAST, TRUTH.sel(level=[500]))
    with pytest.raises(BadRequest, match="the truth has an axis 'level' of 2"):
        gaia.rmse(FORECAST.sel(level=500, drop=True), TRUTH)
    with pytest.raises(GridMismatch, match="the truth lies on 7 x 6 points"):
        gaia.rmse(FORECAST, TRUTH.isel(lon=slice(None, None, 2)))
    with pytest.raises(UnusableValues, match="the forecast holds int64"):
        gaia.rmse(FORECAST.astype("i8"), TRUTH)


def test_what_is_given_must_be_of_one_kind() -> None:
    with pytest.raises(BadRequest, match="the truth is a Dataset; a DataArray is expected"):
        gaia.rmse(FORECAST, truth())
    with pytest.raises(BadRequest, match="the truth is a DataArray; a Dataset is expected"):
        gaia.rmse(forecast(), TRUTH)
    with pytest.raises(BadRequest, match="the forecast is a ndarray; a DataArray or Dataset is expected"):
        gaia.rmse(FORECAST.values, TRUTH)
    with pytest.raises(BadRequest, match="the climatology is a NoneType; a DataArray is expected"):
        gaia.acc(FORECAST, TRUTH, None)
    with pytest.raises(BadRequest, match="the forecast is a DataArray; a Dataset is expected"):
        gaia.score_table(FORECAST, truth())
    with pytest.raises(BadRequest, match="the mask is a Dataset; a DataArray is expected"):
        gaia.score_table(forecast(), truth(), mask=truth())  # type: ignore[arg-type]  # what is tested


def test_times_that_do_not_fit_are_told() -> None:
    with pytest.raises(UnmatchedTimes, match=r"^the truth holds 2020-01-01T01Z .* which the forecast forecasts"):
        gaia.rmse(FORECAST, TRUTH.assign_coords(time=TRUTH.time + np.timedelta64(1, "h")))
    with pytest.raises(UnmatchedTimes, match="the forecast holds no instant at all"):
        gaia.rmse(FORECAST.isel(time=slice(0, 0)), TRUTH)
    averaged = gaia.rmse(FORECAST, TRUTH, over="time")
    assert averaged.dims == ("prediction_timedelta", "level")


def test_a_table_of_datasets_is_what_the_command_prints() -> None:
    table = gaia.score_table(forecast(), truth(), variables=["z"])
    assert table.field.values.tolist() == ["z500", "z850"]
    assert table.lead_time.values.tolist() == [12.0, 24.0]
    np.testing.assert_allclose(table.bias, 100.0, atol=0.01)
    assert table.cases.values.tolist() == [[2, 2], [2, 2]]


def test_land_and_sea_by_a_mask() -> None:
    land = xr.DataArray((FORECAST.longitude < 180.0).astype("f4").broadcast_like(FORECAST[0, 0, 0]))
    half = FORECAST.where(land > 0, TRUTH.isel(time=0, level=0, drop=True).min() * 0 + FORECAST - 100.0)
    on_land, at_sea = (gaia.score(half, TRUTH, mask=land, region=name).rmse for name in ("land", "sea"))
    np.testing.assert_allclose(on_land, 100.0, atol=0.01)
    np.testing.assert_allclose(at_sea, 0.0, atol=0.01)
    with pytest.raises(BadRequest, match="region 'land' needs a land-sea mask: give mask="):
        gaia.score(FORECAST, TRUTH, region="land")
    with pytest.raises(GridMismatch, match="the mask lies on 7 x 6 points"):
        gaia.score(FORECAST, TRUTH, mask=land[:, ::2], region="land")
    with pytest.raises(UnusableValues, match="the mask given: the mask 'mask' reaches from 0 to 100"):
        gaia.score(FORECAST, TRUTH, mask=land * 100, region="land")


def test_a_table_has_the_wind_and_the_extremes() -> None:
    fc, an = with_winds(forecast(wrong_z=0.0), added_u=3.0, added_v=4.0), with_winds(truth())
    table = gaia.score_table(fc, an, extremes=an.isel(time=0, drop=True), variables=["wind850"])
    assert table.field.values.tolist() == ["u850", "v850", "wind850"]
    np.testing.assert_allclose(table.rmse, [[3.0, 3.0], [4.0, 4.0], [5.0, 5.0]], atol=1e-3)
    assert table.unit.values.tolist() == ["m s-1"] * 3
    assert float(table.extremes_hit_rate.sel(field="u850", lead_time=12)) == 1.0


@pytest.mark.slow
def test_importing_scoring_imports_no_xarray() -> None:
    code = (
        "import sys, gaia, gaia.tasks.defined_tasks.weather.scoring.moments;"
        "assert 'xarray' not in sys.modules; gaia.rmse; assert 'xarray' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'fame'"):
        _ = gaia.fame
