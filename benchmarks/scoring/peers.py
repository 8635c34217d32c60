"""The same numbers of the same fields by other means: WeatherBench 2's xarray code, the old validator's, `scores`.

Each computes RMSE, MAE, bias and ACC of every level with area weights; WeatherBench's and ours also both skills.
Ours computes more than any of them asks for, as the kernel does it all in one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scores
import xarray as xr
import xskillscore as xs

from benchmarks.measuring import Figure, Report, Size, interleaved
from benchmarks.scoring.fields import area_weights
from benchmarks.scoring.kernel import lead, scoring
from gaia.contracts.errors import ValidatorFault
from gaia.tasks.defined_tasks.weather.scoring.metrics import metrics_of
from gaia.tasks.defined_tasks.weather.scoring.moments import field_moments

_SPACE = ["latitude", "longitude"]
_AGREEMENT = 1e-3
"""Relative: the peers add in float32."""

Peer = Callable[["Arrays"], Mapping[str, Any]]
"""Gives `rmse` and what else it computes, (level,) each."""


class PeerDisagrees(ValidatorFault):
    """A peer does not compute what we compute: the comparison would mean nothing."""


class Arrays:
    """One lead as xarray users hold it: float32 (level, latitude, longitude), weights along latitude."""

    def __init__(self, cubes: list[np.ndarray[Any, np.dtype[np.float32]]]) -> None:
        dimensions = ["level", *_SPACE]
        arrays = [xr.DataArray(cube, dims=dimensions) for cube in cubes]
        self.forecast, self.truth, self.climatology, self.reference = arrays
        rows = xr.DataArray(area_weights(cubes[0].shape[1:]), dims=["latitude"])
        self.weights = rows / rows.mean()


def run(size: Size, _out: Path) -> Report:
    """Each peer beside ours, on one core; the slow ones set the number of rounds."""
    cubes = lead(size)
    arrays = Arrays(cubes)
    peers: dict[str, Peer] = {"xarray": weatherbench, "legacy": legacy, "scores": nci_scores}
    _check(cubes, {name: peer(arrays) for name, peer in peers.items()})
    cases: dict[str, Callable[[], object]] = {name: _calling(peer, arrays) for name, peer in peers.items()}
    timings = interleaved({**cases, "ours": scoring(cubes)}, max(size.rounds // 5, 1))
    shown = (
        ("WeatherBench-2-style xarray code to ours", "xarray", 10.0),
        ("legacy recipe (xskillscore, skipna, five metrics) to ours", "legacy", 50.0),
        ("scores (mse, rmse, mae, bias, pearsonr) to ours", "scores", None),
    )
    return Report(
        benchmark="peers",
        size=size.name,
        figures=tuple(
            Figure(what=what, value=timings.ratio(name, "ours"), unit="x", bound=bound, better="higher")
            for what, name, bound in shown
        ),
        medians_s=timings.medians(),
    )


def weatherbench(a: Arrays) -> dict[str, Any]:
    """As `weatherbench2/metrics.py` has it: each metric by itself, `xarray.weighted(...).mean` over space.

    Source: github.com/google-research/weatherbench2, `_spatial_average`, MSE, MAE, Bias, ACC; its RMSE is the
    root of its MSE, taken after the mean over time.
    """

    def average(values: xr.DataArray) -> xr.DataArray:
        return values.weighted(a.weights).mean(_SPACE, skipna=False)

    forecast_anomaly, truth_anomaly = a.forecast - a.climatology, a.truth - a.climatology
    acc = average(forecast_anomaly * truth_anomaly) / np.sqrt(average(forecast_anomaly**2) * average(truth_anomaly**2))
    mse = average((a.forecast - a.truth) ** 2)
    return {
        "rmse": np.sqrt(mse),
        "mae": average(abs(a.forecast - a.truth)),
        "bias": average(a.forecast - a.truth),
        "acc": acc,
        "skill_clim": 1 - mse / average((a.climatology - a.truth) ** 2),
        "skill_ref": 1 - mse / average((a.reference - a.truth) ** 2),
    }


def legacy(a: Arrays) -> dict[str, Any]:
    """As the validator before this one: xskillscore, skipna, weights of every point, anomalies correlated."""
    weights = a.weights.broadcast_like(a.truth.isel(level=0, drop=True))
    options = {"dim": _SPACE, "weights": weights, "skipna": True}
    return {
        "mse": xs.mse(a.forecast, a.truth, **options),
        "rmse": xs.rmse(a.forecast, a.truth, **options),
        "mae": xs.mae(a.forecast, a.truth, **options),
        "bias": xs.me(a.forecast, a.truth, **options),
        "acc": xs.pearson_r(a.forecast - a.climatology, a.truth - a.climatology, **options),
    }


def nci_scores(a: Arrays) -> dict[str, Any]:
    """The library of Leeuwenburg et al. 2024 (doi:10.21105/joss.06889); its correlation takes no weights."""
    options: dict[str, Any] = {"reduce_dims": _SPACE, "weights": a.weights}
    return {
        "mse": scores.continuous.mse(a.forecast, a.truth, **options),
        "rmse": scores.continuous.rmse(a.forecast, a.truth, **options),
        "mae": scores.continuous.mae(a.forecast, a.truth, **options),
        "bias": scores.continuous.additive_bias(a.forecast, a.truth, **options),
        "pearsonr": scores.continuous.correlation.pearsonr(
            a.forecast - a.climatology, a.truth - a.climatology, reduce_dims=_SPACE
        ),
    }


def _calling(peer: Peer, arrays: Arrays) -> Callable[[], object]:
    return lambda: peer(arrays)


def _check(cubes: list[np.ndarray[Any, np.dtype[np.float32]]], found: Mapping[str, Mapping[str, Any]]) -> None:
    forecast, truth, climatology, _ = (cube[0] for cube in cubes)
    weights = area_weights(truth.shape)
    ours = metrics_of(field_moments(forecast=forecast, truth=truth, climatology=climatology, area_weights=weights))
    for name, metrics in found.items():
        for metric in ("rmse", "mae"):
            theirs, mine = float(np.asarray(metrics[metric])[0]), float(getattr(ours, metric))
            if abs(theirs - mine) > _AGREEMENT * mine:
                raise PeerDisagrees(f"{name} has {metric} {theirs}, ours is {mine}")
