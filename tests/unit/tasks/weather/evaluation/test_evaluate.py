"""Whole evaluations of small files, against numbers that are known beforehand."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from gaia.tasks.defined_tasks.weather.evaluation.evaluate import evaluate, evaluate_series
from gaia.tasks.defined_tasks.weather.evaluation.request import Request, parse_areas, parse_leads
from gaia.tasks.defined_tasks.weather.evaluation.table import ScoreRow, ScoreTable
from gaia.tasks.defined_tasks.weather.files.errors import UnusableValues
from gaia.tasks.defined_tasks.weather.files.series.land_mask import LandMask
from gaia.tasks.defined_tasks.weather.files.series.xarray_series import XarraySeries
from gaia.tasks.defined_tasks.weather.scoring.field_summary import FieldMetrics
from gaia.tasks.defined_tasks.weather.scoring.grid import Grid, GridMismatch
from gaia.tasks.defined_tasks.weather.scoring.moments import NoFiniteTruth, NonFiniteForecast
from tests.support.weather_files import LATITUDE, LONGITUDE, forecast, truth, weather, with_winds, write


def _scored(
    fc: xr.Dataset,
    an: xr.Dataset,
    cl: xr.Dataset | None = None,
    rf: xr.Dataset | None = None,
    *,
    ex: xr.Dataset | None = None,
    mask: LandMask | None = None,
    **more: Any,
) -> ScoreTable:
    given = {"forecast": fc, "truth": an, "climatology": cl, "reference": rf, "extremes": ex}
    opened = {what: (XarraySeries(data, what), None) for what, data in given.items() if data is not None}
    return evaluate_series(opened, Request(forecast=("forecast",), truth="truth", **more), mask=mask)


def _row(table: ScoreTable, name: str, lead_h: float) -> ScoreRow:
    return next(row for row in table.rows if str(row.field) == name and row.lead_h == lead_h)


@pytest.mark.parametrize("zarr_format", [None, 2, 3])
def test_constant_errors_of_files_are_found_again(tmp_path: Path, zarr_format: int | None) -> None:
    paths = [
        write(data, tmp_path / name, zarr_format=zarr_format) for data, name in ((forecast(), "fc"), (truth(), "an"))
    ]
    table = evaluate(Request(forecast=(str(paths[0]),), truth=str(paths[1])))
    assert [(str(row.field), row.lead_h, row.cases) for row in table.rows] == [
        (name, lead, 2) for name in ("2t", "z500", "z850") for lead in (12.0, 24.0)
    ]
    assert _row(table, "2t", 24).metrics.rmse == pytest.approx(1.0, abs=1e-4)
    assert _row(table, "z850", 12).metric("bias") == pytest.approx(100.0, abs=0.01)
    assert table.warnings == ()


def test_rmse_takes_its_root_after_the_mean_over_starts() -> None:
    fc = forecast(wrong_k=0.0)
    fc["2m_temperature"][0] += 3.0
    fc["2m_temperature"][1] += 1.0
    row = _row(_scored(fc, truth()), "2t", 12)
    assert row.metrics.rmse == pytest.approx(np.sqrt(5.0), abs=1e-4)
    assert row.metric("mae") == pytest.approx(2.0, abs=1e-4)


def test_skill_against_climatology_reference_and_persistence() -> None:
    usual = truth((0,), added=2.0).isel(time=0, drop=True)
    table = _scored(forecast((0,)), truth(), usual, forecast((0,), wrong_k=-3.0), persistence=True)
    metrics = _row(table, "2t", 12).metrics
    assert metrics.skill_ref == pytest.approx(1 - 1 / 9, abs=1e-4)
    # The climatology is the weather of hour 0, 2 K too warm; at 12 h the wave has moved by one column.
    moved = float(_mean((weather(0, "2t") + 2.0 - weather(12, "2t")) ** 2))
    assert metrics.rmse_clim == pytest.approx(np.sqrt(moved), rel=1e-5)
    assert metrics.skill_persistence == pytest.approx(
        1 - 1 / float(_mean((weather(0, "2t") - weather(12, "2t")) ** 2)), rel=1e-4
    )


_EDGES = np.deg2rad([90.0, 75.0, 45.0, 15.0, -15.0, -45.0, -75.0, -90.0])
_AREA = np.repeat(-np.diff(np.sin(_EDGES))[:, None] / 24, 12, axis=1)
"""Of each point of the 30 degree grid, as a share of the sphere: caps and bands, by hand."""


def _mean(values: np.ndarray[Any, Any]) -> np.float64:
    return np.float64((values.astype(np.float64) * _AREA).sum())


def test_a_reversed_order_of_levels_changes_nothing() -> None:
    plain = _scored(forecast(), truth())
    turned = _scored(forecast().isel(level=slice(None, None, -1)), truth())
    assert turned.rows == plain.rows


def test_reversed_latitudes_are_read_by_value_and_told() -> None:
    turned = _scored(forecast(), truth().isel(lat=slice(None, None, -1)))
    assert turned.rows == _scored(forecast(), truth()).rows
    assert turned.warnings == ("the truth truth: its latitudes are read in the forecast's order",)


def test_regions_are_scored_apart() -> None:
    fc = forecast(wrong_k=0.0)
    fc["2m_temperature"][..., :2, :] += 2.0  # 90 and 60 N
    areas = parse_areas(("nh", "sh", "box:50,70,0,90"), mask=False)
    table = _scored(fc, truth(), areas=areas, variables=("2t",), leads=parse_leads("12"))
    north, south, box = (row.metrics.rmse for row in table.rows)
    assert south == 0.0
    assert box == pytest.approx(2.0, abs=1e-4)
    assert 0.0 < north < 2.0


def test_the_wind_is_scored_as_a_vector_where_both_components_are() -> None:
    fc = with_winds(forecast(wrong_z=0.0), added_u=3.0, added_v=-4.0)
    rival = with_winds(forecast(wrong_z=0.0), added_u=0.0, added_v=10.0)
    table = _scored(fc, with_winds(truth()), rf=rival)
    names = list(dict.fromkeys(str(row.field) for row in table.rows))
    assert names == ["2t", "z500", "z850", "u500", "u850", "v500", "v850", "wind500", "wind850"]
    row = _row(table, "wind850", 12)
    assert (row.unit, row.cases) == ("m s-1", 2)
    assert row.metrics.rmse == pytest.approx(5.0, abs=1e-4)
    assert row.metrics.skill_ref == pytest.approx(0.75, abs=1e-4)
    assert row.metric("bias") is None
    alone = _scored(fc[["u"]], with_winds(truth()))
    assert [str(row.field) for row in alone.rows] == ["u500", "u500", "u850", "u850"]


def test_wind_components_with_unlike_gaps_are_left_out_of_the_vector_and_told() -> None:
    an = with_winds(truth())
    an["u"][1, :, 0] = np.nan  # 12 h: half of what the earlier start verifies at
    table = _scored(with_winds(forecast(wrong_z=0.0), added_u=3.0, added_v=-4.0), an)
    assert [_row(table, name, 12).cases for name in ("u500", "v500", "wind500")] == [2, 2, 1]
    assert _row(table, "wind500", 12).metrics.rmse == pytest.approx(5.0, abs=1e-4)
    assert "u500 and v500 are not there at the same points at all times: wind has fewer cases" in table.warnings


def test_wind_components_that_lack_different_points_of_one_area_are_no_vector() -> None:
    an = with_winds(truth())
    an["u"][1, :, 3, 0] = np.nan
    an["v"][1, :, 3, 5] = np.nan  # as large, in the same row
    an["u"][2, :, 4, 6] = np.nan
    an["v"][2, :, 4, 6] = np.nan
    table = _scored(with_winds(forecast(wrong_z=0.0), added_u=3.0, added_v=-4.0), an)
    assert [_row(table, name, 12).cases for name in ("u500", "v500", "wind500")] == [2, 2, 1]
    assert _row(table, "u500", 12).metrics.coverage == _row(table, "v500", 12).metrics.coverage
    assert [_row(table, name, 24).cases for name in ("u500", "v500", "wind500")] == [2, 2, 2]
    assert _row(table, "wind500", 24).metrics.coverage < 1.0


def test_land_and_sea_are_scored_apart() -> None:
    fc = forecast(wrong_k=0.0)
    fc["2m_temperature"][..., :6] += 2.0  # the land of this mask
    land = np.broadcast_to(LONGITUDE < 180.0, (7, 12)).astype(np.float32)
    mask = LandMask(name="lsm.nc", grid=Grid.of(LATITUDE, LONGITUDE), land=land)
    areas = parse_areas(("global", "tropics", "box:-90,90,0,90"), mask=True)
    table = _scored(fc, truth(), mask=mask, areas=areas, variables=("2t",), leads=parse_leads("12"))
    found = {row.region: row.metrics.rmse for row in table.rows}
    assert found == {
        "global": pytest.approx(np.sqrt(2.0), abs=1e-4),
        "land": pytest.approx(2.0, abs=1e-4),
        "sea": 0.0,
        "tropics": pytest.approx(np.sqrt(2.0), abs=1e-4),
        "tropics-land": pytest.approx(2.0, abs=1e-4),
        "tropics-sea": 0.0,
        "box:-90,90,0,90": pytest.approx(2.0, abs=1e-4),
        "box:-90,90,0,90-land": pytest.approx(2.0, abs=1e-4),
    }
    assert table.mask == "lsm.nc"
    assert table.warnings == ("there is no sea in box:-90,90,0,90: not scored",)


def test_a_mask_is_read_by_value_and_regridded_with_the_fields() -> None:
    land = np.broadcast_to(LATITUDE[::-1, None] > 0.0, (7, 12)).astype(np.float32)  # south to north
    mask = LandMask(name="lsm", grid=Grid.of(LATITUDE[::-1], LONGITUDE), land=land)
    fc = forecast(wrong_k=0.0)
    fc["2m_temperature"][..., :3, :] += 2.0  # the northern rows
    areas = parse_areas(("land", "sea"), mask=True)
    found = _scored(fc, truth(), mask=mask, areas=areas, variables=("2t",), leads=parse_leads("12"))
    assert [row.metrics.rmse for row in found.rows] == [pytest.approx(2.0, abs=1e-4), 0.0]
    assert found.warnings == ("the mask lsm: its latitudes are read in the forecast's order",)
    coarse = _scored(fc, truth(), mask=mask, areas=areas, variables=("2t",), grid_degrees=60.0)
    assert "mask conservative 7x12 to 4x6" in coarse.grid
    with pytest.raises(GridMismatch, match="the mask lsm lies on 4 x 12 points"):
        small = LandMask(name="lsm", grid=Grid.of(LATITUDE[::2], LONGITUDE), land=land[::2])
        _scored(fc, truth(), mask=small, areas=areas)


def test_extremes_are_counted_against_their_thresholds() -> None:
    # The truth is 280 K + 10 cos(latitude) cos(2 longitude); it exceeds 284 K where the wave does.
    threshold = truth((0,)).isel(time=0, drop=True) * np.float32(0) + np.float32(284)
    rows = _scored(forecast((0,), wrong_k=3.0), truth(), ex=threshold[["2t"]], variables=("2t",)).rows
    metrics = rows[0].metrics
    assert isinstance(metrics, FieldMetrics)
    assert metrics.extremes is not None
    happened, expected = weather(12, "2t") > 284, weather(12, "2t") + 3 > 284
    area = (happened * _AREA).sum()
    assert metrics.extremes.base_rate == pytest.approx(area, rel=1e-6)
    assert metrics.extremes.hit_rate == 1.0
    false_alarms = ((expected & ~happened) * _AREA).sum()
    assert false_alarms > 0.05
    assert metrics.extremes.false_alarm_rate == pytest.approx(false_alarms / (1 - area), rel=1e-6)
    assert metrics.extremes.event_bias == pytest.approx(3.0, abs=1e-4)


def test_an_ensemble_is_scored_as_its_mean_and_as_a_distribution() -> None:
    members = xr.concat([forecast(wrong_k=k) for k in (-1.0, 3.0)], dim="number").assign_coords(number=[0, 1])
    row = _row(_scored(members, truth()), "2t", 12)
    assert row.metrics.rmse == pytest.approx(1.0, abs=1e-4)
    assert row.ensemble is not None
    # By hand: mean |x - y| = 2; the one pair of members differs by 4, so fair CRPS = 2 - 4 / 2 = 0.
    assert row.ensemble.fair_crps == pytest.approx(0.0, abs=1e-4)
    assert row.ensemble.crps == pytest.approx(1.0, abs=1e-4)


def test_conservative_regridding_keeps_a_constant_error_and_is_named() -> None:
    table = _scored(forecast(), truth(), grid_degrees=60.0)
    assert _row(table, "2t", 12).metric("bias") == pytest.approx(1.0, abs=1e-4)
    assert table.grid == "4 x 6 points; forecast conservative 7x12 to 4x6; truth conservative 7x12 to 4x6"


def test_missing_truth_reduces_coverage() -> None:
    an = truth()
    an["2t"][:, 3, :6] = np.nan  # half of the equator's row
    metrics = _row(_scored(forecast(), an), "2t", 12).metrics
    assert metrics.coverage == pytest.approx(1 - np.sin(np.deg2rad(15)) / 2, abs=1e-9)
    assert metrics.rmse == pytest.approx(1.0, abs=1e-4)


def test_a_field_that_is_missing_altogether_is_left_out_and_told() -> None:
    an = truth()
    an["2t"][1] = np.nan
    table = _scored(forecast(), an)
    assert [_row(table, "2t", lead).cases for lead in (12, 24)] == [1, 2]
    assert "2t valid at 2020-01-01T12:00Z is missing everywhere and left out" in table.warnings[0]
    with pytest.raises(NoFiniteTruth, match="truth: 2t, z500, z850 are missing"):
        _scored(forecast(), truth() * np.nan)


def test_infinity_is_not_missing() -> None:
    an = truth()
    an["2t"][1, 2, 3] = np.inf
    with pytest.raises(UnusableValues, match="truth: 2t valid at 2020-01-01T12:00Z is infinite at 1 of 84 points"):
        _scored(forecast(), an)
    with pytest.raises(UnusableValues, match="infinite at 84 of 84"):
        _scored(forecast(), truth() * np.inf)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_forecast_that_is_not_finite_is_named(bad: float) -> None:
    fc = forecast()
    fc["2m_temperature"][1, 0, 2, 3] = bad
    with pytest.raises(NonFiniteForecast, match=r"forecast: 2t started 2020-01-01T12:00Z \+12 h: .*1 of 84 values"):
        _scored(fc, truth())


def test_another_grid_is_refused() -> None:
    with pytest.raises(GridMismatch, match="the truth truth lies on 4 x 12 points"):
        _scored(forecast(), truth().isel(lat=slice(None, None, 2)))


def test_units_that_only_look_wrong_are_warned_of() -> None:
    table = _scored(forecast(), truth(), truth((0,), added=-273.15).isel(time=0, drop=True))
    assert any("climatology: 2t looks like degrees Celsius where kelvin are expected" in w for w in table.warnings)
    height = forecast()
    height["geopotential"] = height["geopotential"] / np.float32(9.80665)
    said = _scored(height, truth()).warnings
    assert any("forecast: z500 looks like geopotential height" in w for w in said)
    assert not any("truth: z500" in w for w in said)


def test_the_truth_may_be_the_one_in_another_unit() -> None:
    knots = with_winds(truth())
    knots["v"] = knots["v"] * np.float32(3600 / 1852)
    table = _scored(with_winds(forecast(wrong_z=0.0)), knots)
    assert table.warnings == ("truth: v500 looks like knots where m s-1 are expected, next to forecast",)


def test_fields_without_partner_are_told() -> None:
    usual = truth((0,)).isel(time=0, drop=True)[["2t"]]
    table = _scored(forecast(), truth()[["z"]].sel(level=[500]), usual)
    assert [str(row.field) for row in table.rows] == ["z500"] * 2
    assert "truth has no 2t, z850: not scored" in table.warnings
    assert "the climatology climatology has no z500: scored without it" in table.warnings


def test_a_reference_that_ends_early_gives_no_skill_beyond() -> None:
    table = _scored(forecast(), truth(), rf=forecast(leads=(12,), wrong_k=2.0))
    assert _row(table, "2t", 12).metrics.skill_ref == pytest.approx(0.75, abs=1e-4)
    assert _row(table, "2t", 24).metrics.skill_ref is None
    assert any("reference has nothing for 2 of 4 instants" in warning for warning in table.warnings)


def test_a_forecast_without_a_start_gets_one() -> None:
    bare = forecast((0,)).isel(time=0, drop=True)
    table = _scored(bare, truth(), init_time=datetime(2020, 1, 1, tzinfo=UTC))
    assert _row(table, "2t", 24).metrics.rmse == pytest.approx(1.0, abs=1e-4)


def test_progress_counts_every_field() -> None:
    seen: list[tuple[int, int]] = []
    opened = {"forecast": (XarraySeries(forecast(), "fc"), None), "truth": (XarraySeries(truth(), "an"), None)}
    evaluate_series(opened, Request(forecast=("fc",), truth="an"), lambda done, total: seen.append((done, total)))
    assert seen == [(n, 12) for n in range(1, 13)]
