"""Units that differ raise; numbers that look like another unit are told."""

from __future__ import annotations

import numpy as np
import pytest

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.files.errors import UnitMismatch
from gaia.tasks.defined_tasks.weather.files.series.unit_checks import implausibility, require_same_unit, suspicion
from gaia.tasks.defined_tasks.weather.scoring.moments import Field

Z500, T2, MSL, Q = FieldId("z", 500), FieldId("2t"), FieldId("msl"), FieldId("q", 850)
WAVE = np.sin(np.arange(60.0)).reshape(6, 10)


def _field(middle: float, reach: float) -> Field:
    return np.asarray(middle + reach * WAVE, dtype=np.float32)


@pytest.mark.parametrize(
    ("field", "expected", "factor", "offset", "words"),
    [
        (Z500, _field(54_000, 900), 1 / 9.80665, 0.0, "geopotential height"),
        (Z500, _field(54_000, 900), 9.80665, 0.0, "once too often"),
        (T2, _field(280, 10), 1.0, -273.15, "Celsius"),
        (T2, _field(280, 10), 1.8, -459.67, "Fahrenheit"),
        (MSL, _field(101_000, 900), 0.01, 0.0, "hPa"),
        (Q, _field(0.008, 0.002), 1000.0, 0.0, "g kg-1"),
    ],
)
def test_another_unit_is_suspected(field: FieldId, expected: Field, factor: float, offset: float, words: str) -> None:
    values = np.asarray(expected * factor + offset, dtype=np.float32)
    assert words in (suspicion(field, values, expected) or "")


@pytest.mark.parametrize(("level", "geopotential"), [(925, 7_500.0), (500, 54_000.0), (50, 200_000.0)])
def test_of_geopotential_and_height_the_height_is_suspected(level: int, geopotential: float) -> None:
    field, right = FieldId("z", level), _field(geopotential, geopotential / 100)
    height = np.asarray(right / 9.80665, dtype=np.float32)
    assert "height" in (suspicion(field, height, right) or "")
    assert suspicion(field, right, height) is None


def test_a_bad_forecast_is_no_suspicion() -> None:
    assert suspicion(T2, _field(290, 10), _field(280, 10)) is None
    assert suspicion(T2, np.full((2, 2), np.nan, np.float32), np.full((2, 2), np.nan, np.float32)) is None


def test_units_that_files_name_must_be_the_same() -> None:
    with pytest.raises(UnitMismatch, match=r"msl is in 'hPa' in a\.nc and in 'Pa' in b\.nc, a factor of 100"):
        require_same_unit(MSL, ("a.nc", "hPa"), ("b.nc", "Pa"))
    require_same_unit(MSL, ("a.nc", "Pa"), ("b.nc", "pascal"))
    require_same_unit(MSL, ("a.nc", "hPa"), ("b.nc", None))


def test_impossible_values_are_told_with_what_they_look_like() -> None:
    assert implausibility(T2, _field(280, 10)) is None
    assert "looks like degrees Celsius" in (implausibility(T2, _field(10, 10)) or "")
    assert "150 to 350 K is possible" in (implausibility(T2, _field(1e6, 10)) or "")


def test_missing_points_do_not_hide_impossible_values() -> None:
    values = _field(1e6, 10)
    values[0] = np.nan
    assert implausibility(T2, values) is not None
    assert implausibility(T2, np.full((2, 2), np.nan, np.float32)) is None


def test_one_value_everywhere_is_told() -> None:
    assert "is 0 everywhere" in (implausibility(Z500, np.zeros((3, 4), np.float32)) or "")
