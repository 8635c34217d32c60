"""Histograms count each duration once, in the bucket that Prometheus would choose (le: at or below)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gaia.validator.app.telemetry.histogram import Histogram


def test_durations_fall_into_the_bucket_of_the_first_bound_not_below_them() -> None:
    histogram = Histogram((1.0, 2.0))
    for duration_s in (0.5, 1.0, 1.5, 2.0, 9.0):
        histogram.observe(duration_s)
    snapshot = histogram.snapshot()
    assert snapshot.counts == (2, 2, 1)
    assert snapshot.sum_s == 14.0
    assert snapshot.total == 5


@given(st.lists(st.floats(0.0, 100.0)))
def test_every_observation_is_counted_once(durations_s: list[float]) -> None:
    histogram = Histogram((0.1, 1.0, 10.0))
    for duration_s in durations_s:
        histogram.observe(duration_s)
    snapshot = histogram.snapshot()
    assert snapshot.total == len(durations_s)
    assert snapshot.counts[0] == sum(duration_s <= 0.1 for duration_s in durations_s)
