"""GRIB, its traps one by one, on messages built for the purpose."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import eccodes
import numpy as np
import pytest

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.files.errors import (
    IrregularGrid,
    MissingField,
    MissingMember,
    StoreMissing,
    TruncatedGrib,
    UnusableStore,
)
from gaia.tasks.defined_tasks.weather.files.store import grib
from gaia.tasks.defined_tasks.weather.files.store.open_store import open_store
from tests.unit.tasks.weather.files.store.synthetic_grib import COLUMNS, ROWS, message, ramp, sequence, write

T500 = FieldId("t", 500)
INIT = datetime(2017, 1, 1, tzinfo=UTC)


def only_field(path: Path, field: FieldId = T500) -> tuple[np.ndarray[Any, np.dtype[np.float32]], Any]:
    store = grib.read_only_instant(path, None)
    return store.read(field), store.grid


@pytest.mark.parametrize("edition", [1, 2])
def test_both_editions_are_read_north_to_south(tmp_path: Path, edition: int) -> None:
    values, grid = only_field(write(tmp_path / "a.grib", message(ramp(), edition=edition)))
    np.testing.assert_array_equal(values, ramp())
    assert (grid.latitude_first, grid.latitude_step) == (90.0, -30.0)
    assert (grid.longitude_first, grid.longitude_step) == (0.0, 30.0)


def test_points_stored_south_to_north_keep_their_places(tmp_path: Path) -> None:
    keys: dict[str, Any] = {
        "jScansPositively": 1,
        "latitudeOfFirstGridPointInDegrees": -90.0,
        "latitudeOfLastGridPointInDegrees": 90.0,
    }
    values, grid = only_field(write(tmp_path / "a.grib", message(ramp(), **keys)))
    assert (grid.latitude_first, grid.latitude_step) == (-90.0, 30.0)
    assert values[0, 1] == 1.0


def test_points_stored_westward_keep_their_places(tmp_path: Path) -> None:
    keys: dict[str, Any] = {
        "iScansNegatively": 1,
        "longitudeOfFirstGridPointInDegrees": 330.0,
        "longitudeOfLastGridPointInDegrees": 0.0,
    }
    _, grid = only_field(write(tmp_path / "a.grib", message(ramp(), **keys)))
    assert (grid.longitude_first, grid.longitude_step) == (330.0, -30.0)


def test_points_stored_column_by_column_keep_their_places(tmp_path: Path) -> None:
    values, _ = only_field(write(tmp_path / "a.grib", message(ramp().T, jPointsAreConsecutive=1)))
    np.testing.assert_array_equal(values, ramp())


def test_rows_stored_in_turns_keep_their_places(tmp_path: Path) -> None:
    stored = ramp()
    stored[1::2] = stored[1::2, ::-1]
    values, _ = only_field(write(tmp_path / "a.grib", message(stored, alternativeRowScanning=1)))
    np.testing.assert_array_equal(values, ramp())


def test_longitudes_that_start_at_the_date_line_go_on_eastward(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"longitudeOfFirstGridPointInDegrees": 180.0, "longitudeOfLastGridPointInDegrees": 150.0}
    store = grib.read_only_instant(write(tmp_path / "a.grib", message(ramp(), **keys)), None)
    assert store.longitude.tolist()[:3] == [180.0, 210.0, 240.0]
    assert store.longitude[-1] == 510.0


def test_height_becomes_geopotential_and_9999_stays_a_height(tmp_path: Path) -> None:
    heights = np.full((ROWS, COLUMNS), 9999.0)
    heights[0, 0] = 10_000.0
    values, _ = only_field(write(tmp_path / "a.grib", message(heights, shortName="gh", level=250)), FieldId("z", 250))
    assert np.isfinite(values).all()
    assert values[3, 3] == np.float32(9999.0 * 9.80665)


def test_points_missing_from_the_bitmap_become_nan(tmp_path: Path) -> None:
    stored = ramp()
    stored[2, 5] = 1e20
    values, _ = only_field(write(tmp_path / "a.grib", message(stored, missingValue=1e20, bitmapPresent=1)))
    assert np.isnan(values[2, 5])
    assert np.isnan(values).sum() == 1
    assert values[2, 6] == 30.0


def test_reduced_gaussian_grid_is_refused(tmp_path: Path) -> None:
    handle = eccodes.codes_grib_new_from_samples("reduced_gg_pl_32_grib2")
    eccodes.codes_set(handle, "shortName", "t")
    write(tmp_path / "a.grib", eccodes.codes_get_message(handle))
    eccodes.codes_release(handle)
    with pytest.raises(IrregularGrid, match="is on a reduced_gg grid"):
        grib.inventory(tmp_path / "a.grib", None)


def test_only_instants_on_pressure_levels_count(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.grib",
        message(ramp(), level=850),
        message(ramp(), typeOfFirstFixedSurface="pv", level=2),
        message(ramp(), shortName="r", level=850),
    )
    assert grib.inventory(path, None).fields == (FieldId("t", 850),)


def test_inventory_counts_fields_that_exist_at_every_time(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.grib",
        message(ramp(), dataTime=0),
        message(ramp(), dataTime=0, level=850),
        message(ramp(), dataTime=1200),
    )
    held = grib.inventory(path, None)
    assert held.fields == (T500,)
    assert held.times == (INIT, INIT.replace(hour=12))


def test_forecasts_beside_analyses_are_not_truth(tmp_path: Path) -> None:
    analysis, forecast = ramp(), ramp() + 1000
    path = write(
        tmp_path / "a.grib",
        message(forecast, dataTime=0, step=12),
        message(analysis, dataTime=1200),
        message(forecast, dataTime=0, step=6),
        message(analysis, dataTime=0),
    )
    noon = INIT.replace(hour=12)
    assert grib.inventory(path, None).times == (INIT, noon)
    np.testing.assert_array_equal(grib.read_truth(path, None, noon, [T500]).read(T500), analysis)
    with pytest.raises(MissingField, match=r"no known field valid at 2017-01-01T06:00:00\+00:00; its times are"):
        grib.read_truth(path, None, INIT.replace(hour=6), [T500])
    np.testing.assert_array_equal(grib.read_forecast(path, None, INIT, 6, [T500]).read(T500), forecast)
    with pytest.raises(MissingField, match=r"started 2017-01-01T00:00:00\+00:00, \+24 h"):
        grib.read_forecast(path, None, INIT, 24, [T500])


def test_without_analyses_the_shortest_forecast_is_truth(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.grib",
        message(ramp() + 1000, dataTime=0, step=12),
        message(ramp(), dataTime=600, step=6),
    )
    noon = INIT.replace(hour=12)
    np.testing.assert_array_equal(grib.read_truth(path, None, noon, [T500]).read(T500), ramp())


def ensemble(path: Path) -> Path:
    keys = {"productDefinitionTemplateNumber": 1, "numberOfForecastsInEnsemble": 3}
    return write(path, *(message(ramp() + 100 * n, **keys, perturbationNumber=n) for n in range(3)))


def test_member_is_chosen_by_its_number(tmp_path: Path) -> None:
    path = ensemble(tmp_path / "a.grib")
    assert grib.inventory(path, 2).members == (0, 1, 2)
    assert grib.read_truth(path, 2, INIT, [T500]).read(T500)[0, 1] == 201.0


def test_member_that_is_absent_or_not_said_is_refused(tmp_path: Path) -> None:
    path = ensemble(tmp_path / "a.grib")
    with pytest.raises(MissingMember, match=r"has no member 7; it has \[0, 1, 2\]"):
        grib.inventory(path, 7)
    with pytest.raises(MissingMember, match=r"holds members \[0, 1, 2\]; say which one"):
        grib.inventory(path, None)
    with pytest.raises(MissingMember, match="has no member 0; it has none"):
        grib.inventory(sequence(tmp_path / "b.grib", [0]), 0)


def test_missing_field_names_file_wanted_and_available(tmp_path: Path) -> None:
    path = sequence(tmp_path / "a.grib", [0, 12])
    with pytest.raises(MissingField, match=r"a\.grib .*has no field z500; it has t500"):
        grib.read_truth(path, None, INIT, [FieldId("z", 500)])
    with pytest.raises(MissingField, match=r"a\.grib has no field z500; it has t500"):
        grib.read_truth(path, None, INIT, [T500, FieldId("z", 500)]).read(FieldId("z", 500))


def test_field_held_twice_is_refused(tmp_path: Path) -> None:
    path = sequence(tmp_path / "a.grib", [0, 0])
    with pytest.raises(UnusableStore, match="more than once"):
        grib.read_truth(path, None, INIT, [T500])


def test_fields_on_two_grids_are_refused(tmp_path: Path) -> None:
    other = message(ramp(), level=850, longitudeOfFirstGridPointInDegrees=15, longitudeOfLastGridPointInDegrees=345)
    with pytest.raises(UnusableStore, match="lie on 2 grids"):
        grib.inventory(write(tmp_path / "a.grib", message(ramp()), other), None)


def test_store_of_one_instant_opens_by_content(tmp_path: Path) -> None:
    path = write(tmp_path / "file", message(ramp(), step=12), message(ramp() + 1, step=24))
    assert open_store(path, lead_h=24).read(T500)[0, 0] == 1.0
    with pytest.raises(UnusableStore, match="2 instants"):
        open_store(path)
    with pytest.raises(MissingField, match=r"no known field at \+6 h"):
        open_store(path, lead_h=6)


def test_file_cut_inside_a_message_names_place_and_cause(tmp_path: Path) -> None:
    one, two = message(ramp()), message(ramp(), level=850)
    path = write(tmp_path / "a.grib", one, two[: len(two) // 2])
    size = len(one) + len(two) // 2
    with pytest.raises(TruncatedGrib, match=rf"a\.grib is cut short.*field 2, from byte {len(one)} of {size}:"):
        grib.inventory(path, None)


@pytest.mark.parametrize("tail", [b"GRI", b"not grib at all"])
def test_rubbish_after_the_last_message_is_refused(tmp_path: Path, tail: bytes) -> None:
    with pytest.raises(TruncatedGrib, match="field 2, from byte"):
        grib.inventory(write(tmp_path / "a.grib", message(ramp()), tail=tail), None)


def test_padding_after_the_last_message_is_harmless(tmp_path: Path) -> None:
    path = write(tmp_path / "a.grib", message(ramp()), tail=b"\x00" * 100)
    assert grib.inventory(path, None).times == (INIT,)


def test_a_cut_file_does_not_spoil_the_next_one(tmp_path: Path) -> None:
    cut = write(tmp_path / "cut.grib", message(ramp())[:-20])
    for _ in range(3):
        with pytest.raises(TruncatedGrib):
            grib.inventory(cut, None)
        values, _ = only_field(write(tmp_path / "whole.grib", message(ramp())))
        np.testing.assert_array_equal(values, ramp())


@pytest.mark.parametrize("content", [b"", b"hello"])
def test_file_without_grib_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UnusableStore, match="holds no GRIB message"):
        grib.inventory(write(tmp_path / "a.grib", content), None)


def test_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match=r"absent\.grib cannot be read"):
        grib.inventory(tmp_path / "absent.grib", None)
