"""Axis names and values as files in the field have them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from gaia.tasks.defined_tasks.weather.files.errors import UnclearAxis
from gaia.tasks.defined_tasks.weather.files.series.axes import Axis, axis_of, leads, levels, times, whole_numbers


@pytest.mark.parametrize("name", ["prediction_timedelta", "lead_time", "step"])
def test_lead_axes_of_weatherbench_cf_and_grib_are_known(name: str) -> None:
    assert axis_of(name, {}) is Axis.LEAD


def test_an_axis_of_another_name_is_known_by_its_standard_name() -> None:
    assert axis_of("t0", {"standard_name": "forecast_reference_time"}) is Axis.INIT
    assert axis_of("t0", {}) is None


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        (np.array([6, 36]), "hours"),
        (np.array([6.0, 36.0]), None),
        (np.array([0.25, 1.5]), "days"),
        (np.array([21_600_000_000_000, 129_600_000_000_000]), "nanoseconds"),
        (np.array([6, 36], dtype="m8[h]"), None),
    ],
)
def test_leads_in_any_unit(values: np.ndarray[tuple[int], np.dtype[np.generic]], unit: str | None) -> None:
    assert leads(values, unit, "a file") == (timedelta(hours=6), timedelta(hours=36))


def test_leads_in_an_unknown_unit_name_the_file() -> None:
    with pytest.raises(UnclearAxis, match=r"fc\.nc: lead times of type int64 in unit 'fortnights'"):
        leads(np.array([1]), "fortnights", "fc.nc")


def test_times_by_their_cf_units() -> None:
    found = times(np.array([24]), {"units": "hours since 1959-01-01", "calendar": "proleptic_gregorian"}, "a file")
    assert found == (datetime(1959, 1, 2, tzinfo=UTC),)


@pytest.mark.parametrize("attributes", [{}, {"units": "furlongs since 1959-01-01"}])
def test_times_without_an_understood_unit_are_refused(attributes: dict[str, str]) -> None:
    with pytest.raises(UnclearAxis, match="a file: times"):
        times(np.array([24]), attributes, "a file")


def test_a_missing_time_is_refused() -> None:
    with pytest.raises(UnclearAxis, match="NaT"):
        times(np.array(["NaT"], dtype="M8[ns]"), {}, "a file")


def test_levels_in_pascal_become_hectopascal_and_odd_ones_nothing() -> None:
    assert levels(np.array([50_000.0, 85_000.0, 50.0]), "Pa", "plev", "a file") == (500, 850, None)


def test_levels_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(UnclearAxis, match="levels of type"):
        levels(np.array(["500"]), None, "level", "a file")
    with pytest.raises(UnclearAxis, match="a file: levels in unit 'km' are not understood"):
        levels(np.array([5.5]), "km", "level", "a file")


def test_members_must_be_whole() -> None:
    assert whole_numbers(np.array([0.0, 3.0]), "a file") == (0, 3)
    for value in (0.5, np.nan, np.inf):
        with pytest.raises(UnclearAxis, match="whole numbers"):
            whole_numbers(np.array([value]), "a file")
