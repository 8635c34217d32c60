"""Contingency tables by hand; what does not count; merging."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaia.tasks.defined_tasks.weather.scoring.extremes import Contingency, contingency, extreme_metrics
from gaia.tasks.defined_tasks.weather.scoring.field import Field, NoFiniteTruth, NonFiniteForecast
from gaia.tasks.defined_tasks.weather.scoring.grid import GridMismatch


def _row(*values: float) -> Field:
    return np.array([values], dtype=np.float32)


_TRUTH = _row(9, 9, 9, 1, 1, 1, 1, 1)
_FORECAST = _row(8, 7, 2, 6, 0, 1, 2, 3)
_THRESHOLD = _row(*[5.0] * 8)


def _table(forecast: Field = _FORECAST, truth: Field = _TRUTH, threshold: Field = _THRESHOLD) -> Contingency:
    return contingency(forecast=forecast, truth=truth, threshold=threshold, area_weights=np.ones(1))


def test_eight_points_by_hand() -> None:
    # Two hits, a miss, a false alarm, four correct negatives; errors at the events -1, -2, -7.
    metrics = extreme_metrics(_table())
    assert metrics is not None
    assert metrics.base_rate == 3 / 8
    assert metrics.hit_rate == pytest.approx(2 / 3)
    assert metrics.false_alarm_rate == pytest.approx(1 / 5)
    assert metrics.false_alarm_ratio == pytest.approx(1 / 3)
    assert metrics.frequency_bias == pytest.approx(1.0)
    assert metrics.critical_success_index == pytest.approx(2 / 4)
    assert metrics.event_bias == pytest.approx(-10 / 3)
    assert metrics.event_rmse == pytest.approx(math.sqrt((1 + 4 + 49) / 3))


def test_rows_count_by_their_area() -> None:
    truth, forecast = np.array([[9], [9]], dtype=np.float32), np.array([[9], [0]], dtype=np.float32)
    table = contingency(
        forecast=forecast,
        truth=truth,
        threshold=np.full_like(truth, 5),
        area_weights=np.array([0.75, 0.25]),
    )
    assert (table.hits, table.misses) == (0.75, 0.25)


def test_low_extremes_are_the_mirror_image() -> None:
    mirrored = contingency(
        forecast=-_FORECAST, truth=-_TRUTH, threshold=-_THRESHOLD, area_weights=np.ones(1), below=True
    )
    high = _table()
    assert (mirrored.hits, mirrored.misses, mirrored.false_alarms) == (high.hits, high.misses, high.false_alarms)
    assert mirrored.event_error == -high.event_error


def test_to_equal_the_threshold_is_no_event() -> None:
    table = _table(forecast=_THRESHOLD, truth=_THRESHOLD)
    assert (table.correct_negatives, table.hits) == (1.0, 0.0)


def test_without_events_there_is_no_hit_rate() -> None:
    metrics = extreme_metrics(_table(truth=_row(*[0.0] * 8), forecast=_row(*[0.0] * 8)))
    assert metrics is not None
    assert (metrics.base_rate, metrics.false_alarm_rate) == (0.0, 0.0)
    assert metrics.hit_rate is metrics.false_alarm_ratio is metrics.frequency_bias is None
    assert metrics.critical_success_index is metrics.event_bias is metrics.event_rmse is None
    assert extreme_metrics(Contingency()) is None


def test_points_without_truth_or_threshold_are_left_out() -> None:
    gappy = _row(9, math.nan, 9, 1, 1, 1, 1, math.inf)
    table = _table(truth=gappy)
    assert table.hits + table.misses + table.false_alarms + table.correct_negatives == 0.75
    assert _table(threshold=np.where(np.isfinite(gappy), _THRESHOLD, np.float32(np.nan))).hits == table.hits


def test_unusable_fields_are_refused() -> None:
    with pytest.raises(NoFiniteTruth, match="no finite point in common"):
        _table(threshold=_row(*[math.nan] * 8))
    with pytest.raises(NonFiniteForecast, match="1 of 8 values"):
        _table(forecast=_row(1, 1, 1, 1, 1, 1, 1, math.nan))
    with pytest.raises(GridMismatch):
        _table(forecast=_row(1))


_ROW_OF_12 = st.lists(st.integers(-5, 5), min_size=12, max_size=12)


@given(forecast=_ROW_OF_12, truth=_ROW_OF_12, cut=st.integers(1, 11))
def test_parts_merge_into_the_whole(forecast: list[int], truth: list[int], cut: int) -> None:
    f, t = _row(*forecast), _row(*truth)
    weights = np.full((1, 12), 1 / 16)

    def part(points: slice) -> Contingency:
        return contingency(
            forecast=f[:, points],
            truth=t[:, points],
            threshold=np.ones_like(t[:, points]),
            area_weights=weights[:, points],
        )

    # Weights and errors are exact in binary, and so are their sums.
    assert part(slice(cut)) + part(slice(cut, None)) == part(slice(None))
    assert part(slice(None)).hits == sum(a > 1 and b > 1 for a, b in zip(forecast, truth, strict=True)) / 16
