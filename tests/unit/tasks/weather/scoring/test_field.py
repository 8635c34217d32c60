"""What may not be compared is named: another quantity, unit, level, time, order of levels."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from msgspec.structs import replace

from gaia.tasks.defined_tasks.weather.scoring.field import (
    BadField,
    FieldLabel,
    NonFiniteForecast,
    UnlikeFields,
    blame_forecast,
    require_levels,
)
from gaia.tasks.defined_tasks.weather.scoring.moments import field_moments

_LABEL = FieldLabel(variable="z", unit="m2 s-2", level_hpa=500, valid_time=datetime(2017, 1, 2, tzinfo=UTC))


def test_equal_labels_may_be_compared() -> None:
    _LABEL.require_same(replace(_LABEL), "the truth")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (replace(_LABEL, variable="t"), "variable of the truth is 't', expected 'z'"),
        (replace(_LABEL, unit="gpm"), "unit of the truth is 'gpm', expected 'm2 s-2'; nothing is converted"),
        (replace(_LABEL, level_hpa=850), "level hpa of the truth is 850, expected 500"),
        (
            replace(_LABEL, valid_time=datetime(2017, 1, 2, 6, tzinfo=UTC)),
            r"valid time of the truth is 2017-01-02T06:00:00\+00:00, expected 2017-01-02T00:00:00\+00:00",
        ),
    ],
)
def test_the_first_difference_is_named(other: FieldLabel, message: str) -> None:
    with pytest.raises(UnlikeFields, match=message):
        _LABEL.require_same(other, "the truth")


@pytest.mark.parametrize(
    ("levels", "hint"),
    [
        ([850, 700, 500], "the same levels in reverse order"),
        ([500, 850], r"missing are \[700\]"),
        ([500, 850, 700], "in another order"),
        ([500, 700, 850, 1000], "in another order, or more than these"),
    ],
)
def test_other_levels_are_refused_with_a_hint(levels: list[int], hint: str) -> None:
    with pytest.raises(UnlikeFields, match=hint):
        require_levels(levels, [500, 700, 850], "the forecast")


def test_the_expected_levels_pass() -> None:
    require_levels(list(np.array([500.0, 700.0])), [500, 700], "the forecast")


def test_a_bad_value_is_shown_with_its_place() -> None:
    forecast = np.ones((3, 4), dtype=np.float32)
    forecast[1, 2], forecast[2, 0] = -np.inf, np.nan
    with pytest.raises(
        NonFiniteForecast, match=r"2 of 12 values are NaN or infinite, the first is -inf at index \(1, 2\)"
    ):
        field_moments(forecast=forecast, truth=np.ones_like(forecast), area_weights=np.ones(3))


def test_a_finite_forecast_is_not_called_infinite() -> None:
    assert "too large" in str(blame_forecast(np.ones((1, 1), dtype=np.float32)))


def test_an_empty_field_is_refused() -> None:
    empty = np.ones((0, 4), dtype=np.float32)
    with pytest.raises(BadField, match=r"truth must be float32 \(latitude, longitude\), got float32 \(0, 4\)"):
        field_moments(forecast=empty, truth=empty, area_weights=np.ones(0))
