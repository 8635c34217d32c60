"""Batches change when units are counted, never how many."""

from __future__ import annotations

import pytest

from gaia.validator.app.compute.unit_counts import UnitCounts


@pytest.mark.parametrize("units", [0, 1, 31, 32, 33, 64, 200])
def test_every_unit_is_counted_once_whenever_one_looks(units: int) -> None:
    counts = UnitCounts()
    for unit in range(units):
        counts.waited(0.002)
        counts.settled("echo" if unit % 2 else "score", 0.2)
    waits, durations = counts.waits(), counts.durations()
    assert waits.total == units
    assert waits.sum_s == pytest.approx(0.002 * units)
    assert {handler: counted.total for handler, counted in durations.items()} == {
        handler: total for handler, total in (("score", (units + 1) // 2), ("echo", units // 2)) if total
    }
    assert counts.waits() == waits  # looking counts nothing twice


def test_what_is_noted_and_not_yet_counted_is_bounded() -> None:
    counts = UnitCounts()
    for _ in range(10_000):
        counts.settled("echo", 0.2)
    assert len(counts._settled) < 100
