"""Scores of forecasts with members: CRPS, error of the mean, spread against skill.

Owns the ensemble kernel. Never takes one member for a distribution: what needs two members is None for one.
"""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gaia.contracts.errors import ValidatorFault
from gaia.tasks.defined_tasks.weather.scoring.field import Field, NoFiniteTruth, blame_forecast, require_alike
from gaia.tasks.defined_tasks.weather.scoring.grid import point_weights
from gaia.tasks.defined_tasks.weather.scoring.kernels.compiled import Argument, Kernel
from gaia.tasks.defined_tasks.weather.scoring.sums import Sums


class NoMembers(ValidatorFault):
    """What should be an ensemble has no member axis."""


class EnsembleSums(Sums, frozen=True, kw_only=True):
    """Area-weighted sums over the points with a finite truth. `EnsembleSums()` is zero; `+` merges.

    Members x_1 ... x_M, truth y, m their mean. Sums that need two members are None where a part had one.
    """

    area: float = 0.0
    """What all points weigh together."""
    finite_area: float = 0.0
    crps: float = 0.0
    """Sum of mean |x_i - y| - mean over all M2 pairs of |x_i - x_j| / 2."""
    fair_crps: float | None = 0.0
    """The same with the mean over the M (M - 1) pairs of different members."""
    member_error: float = 0.0
    """Sum of mean |x_i - y|: the CRPS without its reward for spread."""
    mean_error: float = 0.0
    """Sum of m - y."""
    mean_squared_error: float = 0.0
    """Sum of (m - y)2."""
    variance: float | None = 0.0
    """Sum of s2, the members' variance with divisor M - 1."""
    expected_variance: float | None = 0.0
    """Sum of s2 (M + 1) / M: what the squared error of the mean is, on average, if truth is like a member."""


class EnsembleMetrics(Struct, frozen=True, kw_only=True):
    """One ensemble field, or several merged ones, scored; in the variable's unit. None: needs two members."""

    crps: float
    fair_crps: float | None
    member_mae: float
    mean_bias: float
    mean_rmse: float
    """RMSE of the ensemble mean: the skill of spread and skill."""
    spread: float | None
    """sqrt of the mean variance."""
    spread_skill_ratio: float | None
    """sqrt(mean of s2 (M + 1) / M) / RMSE of the mean: 1 is reliable, below 1 overconfident. None if perfect."""
    coverage: float


def ensemble_sums(*, members: NDArray[np.float32], truth: Field, area_weights: NDArray[np.float64]) -> EnsembleSums:
    """All sums of one ensemble field, in one pass.

    members: float32 (member, nlat, nlon), at least one; truth: float32 (nlat, nlon), in one unit. area_weights
    as for `moments.field_moments`. Points where the truth is not finite are left out. Raises NoMembers,
    NonFiniteForecast, NoFiniteTruth, GridMismatch and BadField. Members may come in any order.
    """
    require_alike({"truth": truth}, truth.shape)
    if members.ndim != 3 or members.shape[0] == 0:
        raise NoMembers(f"an ensemble must be (member, latitude, longitude), got {members.shape}")
    require_alike({"members": members}, (members.shape[0], *truth.shape))
    weights = point_weights(area_weights, (truth.shape[0], truth.shape[1]))
    sums = np.zeros(7, dtype=np.float64)
    departures = np.empty(members.shape[0], dtype=np.float64)
    _accumulate(np.ascontiguousarray(members), np.ascontiguousarray(truth), weights, departures, sums)
    area, finite, error, pairs, mean_error, mean_squared, variance = sums.tolist()
    if finite == 0.0:
        raise NoFiniteTruth("the truth has not one finite value in this field")
    if not math.isfinite(error):
        raise blame_forecast(members)
    count = members.shape[0]
    several = count > 1
    return EnsembleSums(
        area=area,
        finite_area=finite,
        crps=error - pairs / count**2,
        fair_crps=error - pairs / (count * (count - 1)) if several else None,
        member_error=error,
        mean_error=mean_error,
        mean_squared_error=mean_squared,
        variance=variance / (count - 1) if several else None,
        expected_variance=variance / (count - 1) * (count + 1) / count if several else None,
    )


def ensemble_metrics(sums: EnsembleSums) -> EnsembleMetrics | None:
    """Metrics of one aggregate, roots last; None before any field is added.

    Sources: CRPS in kernel form, Gneiting & Raftery 2007, doi:10.1198/016214506000001437, eq. 21; fair CRPS,
    Ferro 2014, doi:10.1002/qj.2270; spread and skill, Fortin et al. 2014, doi:10.1175/JHM-D-14-0008.1.
    """
    area = sums.finite_area
    if area <= 0.0:
        return None
    rmse = math.sqrt(sums.mean_squared_error / area)
    expected = None if sums.expected_variance is None else math.sqrt(sums.expected_variance / area)
    return EnsembleMetrics(
        crps=sums.crps / area,
        fair_crps=None if sums.fair_crps is None else sums.fair_crps / area,
        member_mae=sums.member_error / area,
        mean_bias=sums.mean_error / area,
        mean_rmse=rmse,
        spread=None if sums.variance is None else math.sqrt(sums.variance / area),
        spread_skill_ratio=None if expected is None or rmse == 0.0 else expected / rmse,
        coverage=min(area / sums.area, 1.0),
    )


def _accumulate_rows(members, truth, point_weights, departures, sums) -> None:  # type: ignore[no-untyped-def]
    count = members.shape[0]
    for j in range(truth.shape[0]):
        area = n = error = pairs = mean_error = mean_squared = variance = 0.0
        for i in range(truth.shape[1]):
            w, t = point_weights[j, i], np.float64(truth[j, i])
            area += w
            if not (w > 0.0 and abs(t) < np.inf):
                continue
            for k in range(count):  # sorted by insertion: members are few
                departure, place = np.float64(members[k, j, i]) - t, k
                while place > 0 and departures[place - 1] > departure:
                    departures[place] = departures[place - 1]
                    place -= 1
                departures[place] = departure
            absolute = gaps = total = 0.0
            for k in range(count):
                absolute += abs(departures[k])
                # In order, x_k is the larger one in k pairs and the smaller one in the others.
                gaps += (2.0 * k - (count - 1.0)) * departures[k]
                total += departures[k]
            mean = total / count
            squares = 0.0
            for k in range(count):
                squares += (departures[k] - mean) * (departures[k] - mean)
            n += w
            error += w * (absolute / count)
            pairs += w * gaps
            mean_error += w * mean
            mean_squared += w * (mean * mean)
            variance += w * squares
        row = (area, n, error, pairs, mean_error, mean_squared, variance)
        for k in range(7):
            sums[k] += row[k]


_accumulate = Kernel(
    _accumulate_rows,
    *(Argument.MEMBERS, Argument.FIELD, Argument.POINTS, Argument.SCRATCH, Argument.SUMS),
    same_lanes=False,  # as its digits have always been
)
