"""Deterministic metrics against `scores` and `xskillscore`, field by field and merged over time."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import xarray as xr

from gaia.tasks.defined_tasks.weather.scoring.area_weighting import AreaWeighting
from gaia.tasks.defined_tasks.weather.scoring.field import Field
from gaia.tasks.defined_tasks.weather.scoring.field_summary import (
    FieldMetrics,
    FieldStatistics,
    all_metrics,
    field_statistics,
)
from gaia.tasks.defined_tasks.weather.scoring.metrics import metrics_of, wind_vector_rmse
from gaia.tasks.defined_tasks.weather.scoring.moments import field_moments
from gaia.tasks.defined_tasks.weather.scoring.regions import region, region_weights
from tests.conformance.fields import DIGITS, GRID, SAMPLES, Sample, labelled, labelled_weights

pytestmark = pytest.mark.conformance

_SPACE = ["latitude", "longitude"]
_ALL = ["time", *_SPACE]
_each_sample = pytest.mark.parametrize("case", SAMPLES, ids=lambda case: case.name)


def _of(case: Sample, time: int) -> FieldStatistics:
    return field_statistics(
        forecast=case.forecast[time],
        truth=case.truth[time],
        climatology=case.climatology[time],
        persistence=case.truth[0] if time else case.climatology[time],
        area_weights=case.weights,
    )


def _near(value: float | xr.DataArray) -> object:
    return pytest.approx(float(value), rel=DIGITS, abs=0.0)


def _one_time(case: Sample) -> tuple[FieldMetrics, xr.DataArray, xr.DataArray, xr.DataArray]:
    forecast, truth = labelled(case.forecast[1]), labelled(case.truth[1])
    return all_metrics(_of(case, 1)), forecast, truth, labelled_weights(truth)


@_each_sample
def test_errors_agree_with_scores(case: Sample, scores: ModuleType) -> None:
    ours, forecast, truth, weights = _one_time(case)
    theirs = scores.continuous
    assert ours.bias == _near(theirs.mean_error(forecast, truth, weights=weights))
    assert ours.mae == _near(theirs.mae(forecast, truth, weights=weights))
    assert ours.mse == _near(theirs.mse(forecast, truth, weights=weights))
    assert ours.rmse == _near(theirs.rmse(forecast, truth, weights=weights))


@_each_sample
def test_errors_agree_with_xskillscore(case: Sample, xskillscore: ModuleType) -> None:
    ours, forecast, truth, weights = _one_time(case)
    for name, value in (("me", ours.bias), ("mae", ours.mae), ("mse", ours.mse), ("rmse", ours.rmse)):
        assert value == _near(getattr(xskillscore, name)(forecast, truth, dim=_SPACE, weights=weights)), name


@_each_sample
def test_correlations_agree_with_xskillscore(case: Sample, xskillscore: ModuleType) -> None:
    ours, forecast, truth, weights = _one_time(case)
    climatology = labelled(case.climatology[1])
    pattern = xskillscore.pearson_r(forecast, truth, dim=_SPACE, weights=weights)
    centred = xskillscore.pearson_r(forecast - climatology, truth - climatology, dim=_SPACE, weights=weights)
    assert ours.pattern_correlation == _near(pattern)
    assert ours.acc_centred == _near(centred)


@_each_sample
def test_the_unweighted_pattern_correlation_agrees_with_scores(case: Sample, scores: ModuleType) -> None:
    sums = field_moments(
        forecast=case.forecast[1], truth=case.truth[1], area_weights=np.full(GRID.shape[0], 1 / GRID.shape[0])
    )
    theirs = scores.continuous.correlation.pearsonr(labelled(case.forecast[1]), labelled(case.truth[1]))
    assert metrics_of(sums).pattern_correlation == _near(theirs)


@_each_sample
def test_activity_agrees_with_xarrays_weighted_deviation(case: Sample) -> None:
    ours, forecast, truth, weights = _one_time(case)
    climatology = labelled(case.climatology[1])
    assert ours.activity is not None
    assert ours.activity.forecast == _near((forecast - climatology).weighted(weights).std())
    assert ours.activity.truth == _near((truth - climatology).weighted(weights).std())


@_each_sample
def test_skill_agrees_with_ratios_of_their_errors(case: Sample, xskillscore: ModuleType) -> None:
    ours, forecast, truth, weights = _one_time(case)

    def mse(field: xr.DataArray) -> float:
        return float(xskillscore.mse(field, truth, dim=_SPACE, weights=weights))

    assert ours.skill_clim == _near(1 - mse(forecast) / mse(labelled(case.climatology[1])))
    assert ours.skill_persistence == _near(1 - mse(forecast) / mse(labelled(case.truth[0])))


@_each_sample
def test_merged_times_agree_with_one_big_sample(case: Sample, scores: ModuleType, xskillscore: ModuleType) -> None:
    forecast, truth, climatology = (labelled(a) for a in (case.forecast, case.truth, case.climatology))
    weights = labelled_weights(truth)
    ours = all_metrics(FieldStatistics.total(_of(case, time) for time in range(3)))
    assert ours.rmse == _near(scores.continuous.rmse(forecast, truth, weights=weights))
    assert ours.mae == _near(xskillscore.mae(forecast, truth, dim=_ALL, weights=weights))
    assert ours.pattern_correlation == _near(xskillscore.pearson_r(forecast, truth, dim=_ALL, weights=weights))
    anomalies = (forecast - climatology, truth - climatology)
    assert ours.acc_centred == _near(xskillscore.pearson_r(*anomalies, dim=_ALL, weights=weights))


@_each_sample
@pytest.mark.parametrize("name", ["tropics", "north-pacific"])
def test_regions_agree_with_a_cut_out_field(case: Sample, name: str, xskillscore: ModuleType) -> None:
    bounds = {"tropics": (slice(20, -20), slice(None)), "north-pacific": (slice(60, 25), slice(145, 230))}[name]
    inside = dict(zip(_SPACE, bounds, strict=True))
    forecast, truth = (labelled(array[1]).sel(inside) for array in (case.forecast, case.truth))
    weights = labelled_weights(labelled(case.truth[1])).sel(inside)
    sums = field_moments(
        forecast=case.forecast[1], truth=case.truth[1], area_weights=region_weights(GRID, region(name))
    )
    ours = metrics_of(sums)
    assert ours.rmse == _near(xskillscore.rmse(forecast, truth, dim=_SPACE, weights=weights))
    assert ours.pattern_correlation == _near(xskillscore.pearson_r(forecast, truth, dim=_SPACE, weights=weights))


@_each_sample
def test_missing_truth_agrees_where_they_skip_it(case: Sample, scores: ModuleType, xskillscore: ModuleType) -> None:
    gappy: Field = np.where(np.arange(36) % 5 == 2, np.float32(np.nan), case.truth[1])
    ours = metrics_of(field_moments(forecast=case.forecast[1], truth=gappy, area_weights=case.weights))
    forecast, truth = labelled(case.forecast[1]), labelled(gappy)
    weights = labelled_weights(truth)
    assert ours.rmse == _near(xskillscore.rmse(forecast, truth, dim=_SPACE, weights=weights, skipna=True))
    assert ours.rmse == _near(scores.continuous.rmse(forecast, truth, weights=weights))


def test_the_wind_vectors_error_agrees_with_both_components(xskillscore: ModuleType) -> None:
    u, v = SAMPLES[0], SAMPLES[3]  # any two fields do
    parts = [
        field_moments(forecast=case.forecast[1], truth=case.truth[1], area_weights=case.weights) for case in (u, v)
    ]
    weights = labelled_weights(labelled(u.truth[1]))
    mse = [
        float(xskillscore.mse(labelled(case.forecast[1]), labelled(case.truth[1]), dim=_SPACE, weights=weights))
        for case in (u, v)
    ]
    assert wind_vector_rmse(*parts) == _near(float(np.sqrt(sum(mse))))


def test_cosine_weights_are_those_of_scores(scores: ModuleType) -> None:
    theirs = scores.functions.create_latitude_weights(labelled(SAMPLES[0].truth[0]).latitude).to_numpy()
    assert GRID.area_weights(AreaWeighting.COSINE) == pytest.approx(theirs / theirs.sum(), rel=DIGITS, abs=1e-16)
