"""Sums merged exactly: any number of workers, any order, the same digits; nothing twice."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaia.tasks.defined_tasks.weather.scoring.aggregate import Aggregate, CountedTwice
from gaia.tasks.defined_tasks.weather.scoring.field_summary import FieldStatistics, all_metrics, field_statistics
from gaia.tasks.defined_tasks.weather.scoring.metrics import NothingToScore, metrics_of
from gaia.tasks.defined_tasks.weather.scoring.moments import Moments, field_moments

_WEIGHTS = np.array([0.1, 0.6, 0.3])


def _statistics(seed: int) -> FieldStatistics:
    fields = np.random.default_rng(seed).normal(280 + seed, 10, (6, 3, 4)).astype(np.float32)
    names = ("forecast", "truth", "climatology", "reference", "persistence", "threshold")
    return field_statistics(**dict(zip(names, fields, strict=True)), area_weights=_WEIGHTS)


_SAMPLES = {(run, lead): _statistics(10 * run + lead) for run in range(4) for lead in (24, 48, 72)}


@given(order=st.permutations(sorted(_SAMPLES)), cuts=st.lists(st.integers(0, 12), max_size=4))
def test_workers_and_order_change_no_digit(order: list[tuple[int, int]], cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(order)]
    workers: list[Aggregate[tuple[int, int], FieldStatistics]] = [
        Aggregate(samples={key: _SAMPLES[key] for key in order[first:last]}) for first, last in pairwise(edges)
    ]
    merged = sum(workers, start=Aggregate[tuple[int, int], FieldStatistics]())
    alone = Aggregate(samples=_SAMPLES)
    assert merged.total() == alone.total()
    assert merged.by(lambda key: key[1]) == alone.by(lambda key: key[1])


def test_groups_are_totals_of_their_own_samples() -> None:
    by_lead = Aggregate(samples=_SAMPLES).by(lambda key: key[1])
    assert list(by_lead) == [24, 48, 72]
    assert by_lead[48] == FieldStatistics.total(_SAMPLES[run, 48] for run in range(4))


def test_the_root_is_taken_after_the_mean() -> None:
    def sums(error: float) -> Moments:
        truth = np.zeros((1, 1), dtype=np.float32)
        return field_moments(forecast=truth + np.float32(error), truth=truth, area_weights=np.ones(1))

    total = Aggregate(samples={"monday": sums(3), "tuesday": sums(4)}).total()
    assert metrics_of(total).rmse == pytest.approx(math.sqrt(12.5))


def test_a_sample_counts_once() -> None:
    one = Aggregate(samples={"a": Moments(), "b": Moments()})
    with pytest.raises(CountedTwice, match="1 samples would count twice, such as 'b'"):
        one + Aggregate(samples={"b": Moments()})


def test_nothing_has_no_total() -> None:
    with pytest.raises(NothingToScore, match="no sample has been added"):
        Aggregate[str, Moments]().total()


def test_what_one_part_lacks_the_whole_lacks() -> None:
    one = np.ones((1, 1), dtype=np.float32)
    poor = field_statistics(forecast=one, truth=one, area_weights=np.ones(1))
    both = poor + _SAMPLES[0, 24]
    assert (both.anomalies, both.persistence, both.extremes) == (None, None, None)
    assert both.moments.area == pytest.approx(2.0)
    metrics = all_metrics(both)
    assert (metrics.skill_persistence, metrics.acc_centred) == (None, None)
    assert (metrics.activity, metrics.extremes) == (None, None)


def test_zero_changes_nothing() -> None:
    some = _SAMPLES[0, 24]
    assert FieldStatistics() + some == some + FieldStatistics() == some
    assert FieldStatistics.total([]) == FieldStatistics()
