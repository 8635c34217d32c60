"""Ensembles and extremes against `scores`, `xskillscore` and xarray."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from gaia.tasks.defined_tasks.weather.scoring.ensemble import EnsembleMetrics, ensemble_metrics, ensemble_sums
from gaia.tasks.defined_tasks.weather.scoring.extremes import contingency, extreme_metrics
from gaia.tasks.defined_tasks.weather.scoring.field import Field
from tests.conformance.fields import DIGITS, SAMPLES, Sample, labelled, labelled_weights, row_of

pytestmark = pytest.mark.conformance

_SPACE = ["latitude", "longitude"]
_each_sample = pytest.mark.parametrize("case", SAMPLES, ids=lambda case: case.name)


def _near(value: object) -> object:
    return pytest.approx(float(value), rel=DIGITS, abs=0.0)  # type: ignore[arg-type]


def _ensemble(case: Sample) -> EnsembleMetrics:
    metrics = ensemble_metrics(ensemble_sums(members=case.members, truth=case.truth[0], area_weights=case.weights))
    assert metrics is not None
    return metrics


@_each_sample
def test_both_kinds_of_crps_agree_with_scores(case: Sample, scores: ModuleType) -> None:
    ours, truth = _ensemble(case), labelled(case.truth[0])
    arguments = (labelled(case.members, "member"), truth, "member")
    weights = labelled_weights(truth)
    crps = scores.probability.crps_for_ensemble
    assert ours.crps == _near(crps(*arguments, method="ecdf", weights=weights))
    assert ours.fair_crps == _near(crps(*arguments, method="fair", weights=weights))


@_each_sample
def test_the_crps_agrees_with_xskillscore(case: Sample, xskillscore: ModuleType) -> None:
    truth, members = labelled(case.truth[0]), labelled(case.members, "member")
    theirs = xskillscore.crps_ensemble(truth, members, dim=_SPACE, weights=labelled_weights(truth))
    assert _ensemble(case).crps == _near(theirs)


@_each_sample
def test_spread_and_skill_agree_with_their_parts(case: Sample, xskillscore: ModuleType) -> None:
    ours, truth, members = _ensemble(case), labelled(case.truth[0]), labelled(case.members, "member")
    weights = labelled_weights(truth)
    variance = float(members.var("member", ddof=1).weighted(weights).mean())
    rmse = float(xskillscore.rmse(members.mean("member"), truth, dim=_SPACE, weights=weights))
    assert ours.spread == _near(np.sqrt(variance))
    assert ours.mean_rmse == _near(rmse)
    assert ours.spread_skill_ratio == _near(np.sqrt(variance * 8 / 7) / rmse)


def _threshold(case: Sample) -> Field:
    """What a tenth of the truth exceeds."""
    return np.full_like(case.truth[1], np.quantile(case.truth, 0.9))


@_each_sample
def test_hit_and_false_alarm_rates_agree_with_scores(case: Sample, scores: ModuleType) -> None:
    threshold = _threshold(case)
    table = contingency(forecast=case.forecast[1], truth=case.truth[1], threshold=threshold, area_weights=case.weights)
    ours = extreme_metrics(table)
    assert ours is not None
    expected, happened = (labelled((array[1] > threshold).astype(np.float32)) for array in (case.forecast, case.truth))
    weights = labelled_weights(happened)
    theirs = scores.categorical
    assert ours.hit_rate == _near(theirs.probability_of_detection(expected, happened, weights=weights))
    assert ours.false_alarm_rate == _near(theirs.probability_of_false_detection(expected, happened, weights=weights))


@_each_sample
def test_the_whole_table_agrees_where_all_points_weigh_the_same(
    case: Sample, scores: ModuleType, xskillscore: ModuleType
) -> None:
    threshold = _threshold(case)
    fields = [row_of(array) for array in (case.forecast[1], case.truth[1], threshold)]
    ours = extreme_metrics(
        contingency(forecast=fields[0], truth=fields[1], threshold=fields[2], area_weights=np.ones(1))
    )
    assert ours is not None
    expected, happened = (labelled((array[1] > threshold).astype(np.float32)) for array in (case.forecast, case.truth))
    theirs = scores.categorical.BinaryContingencyManager(expected, happened).transform()
    assert ours.hit_rate == _near(theirs.hit_rate())
    assert ours.false_alarm_rate == _near(theirs.false_alarm_rate())
    assert ours.false_alarm_ratio == _near(theirs.false_alarm_ratio())
    assert ours.frequency_bias == _near(theirs.frequency_bias())
    assert ours.critical_success_index == _near(theirs.critical_success_index())
    assert ours.base_rate == _near(theirs.base_rate())
    edges = np.array([-0.5, 0.5, 1.5])
    others = xskillscore.Contingency(happened, expected, edges, edges, dim=_SPACE)
    assert ours.hit_rate == _near(others.hit_rate())
    assert ours.false_alarm_ratio == _near(others.false_alarm_ratio())
    assert ours.critical_success_index == _near(others.threat_score())
