"""What is not a field of numbers is refused, and said where."""

from __future__ import annotations

import numpy as np
import pytest

from gaia.tasks.defined_tasks.weather.scoring.field import (
    BadField,
    NonFiniteForecast,
    blame_forecast,
)
from gaia.tasks.defined_tasks.weather.scoring.moments import field_moments


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
