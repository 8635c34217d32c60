"""The statistics of one field in one pass, and how they add up: statistic -> mergeable aggregate -> metric.

Owns the statistics that every score needs; rarer ones have modules of their own (`comoments`, `extremes`, `ensemble`),
so that these stay fast. Never roots, divides or clamps: that is `metrics`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Self

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from gaia.tasks.defined_tasks.weather.scoring.field import (
    BadField,
    Field,
    NoFiniteTruth,
    NonFiniteForecast,
    OutsideLimits,
    blame_forecast,
    require_alike,
)
from gaia.tasks.defined_tasks.weather.scoring.grid import require_weights
from gaia.tasks.defined_tasks.weather.scoring.kernels.moments_kernel import (
    ABSOLUTE_ERROR,
    OF_THE_FORECAST,
    SUMS,
    WITHIN,
    accumulate_forecast,
    accumulate_points,
    accumulate_rows,
)
from gaia.tasks.defined_tasks.weather.scoring.sums import Sums, between

__all__ = [
    "BadField",
    "Field",
    "Moments",
    "NoFiniteTruth",
    "NonFiniteForecast",
    "OutsideLimits",
    "Yardstick",
    "field_moments",
]


class Moments(Sums, frozen=True, kw_only=True):
    """Area-weighted sums over the points that count, float64. `Moments()` is zero; `+` merges.

    What is merged may be other fields (times, runs, regions) or the parts of one field: the whole has the sums
    of all its points. With d = forecast - truth, a = forecast - climatology, b = truth - climatology,
    e = reference - truth. A sum that needs a climatology or a reference is None where a merged part had none.
    Units are those of the variable (squared).
    """

    area: float = 0.0
    """What all points weigh together: 1 a global field."""
    finite_area: float = 0.0
    """What the points weigh where truth, and climatology and reference if given, are finite."""
    truth: float = 0.0
    """Sum of the truth itself: with `finite_area`, the mean about which its variation is taken."""
    error: float = 0.0
    """Sum of d."""
    absolute_error: float = 0.0
    """Sum of |d|."""
    squared_error: float = 0.0
    """Sum of d2."""
    anomaly_product: float | None = 0.0
    """Sum of a b."""
    forecast_anomaly_squared: float | None = 0.0
    """Sum of a2."""
    truth_anomaly_squared: float | None = 0.0
    """Sum of b2: also the squared error of the climatology."""
    reference_squared_error: float | None = 0.0
    """Sum of e2."""
    truth_variation: float = 0.0
    """Sum of (truth - its mean)2, about the mean of all points."""
    covariation: float = 0.0
    """Sum of (truth - its mean)(d - its mean), about the means of all points."""
    error_variation: float = 0.0
    """Sum of (d - its mean)2, about the mean of all points."""
    truth_eddy_variation: float = 0.0
    """Sum of (truth - its zonal mean)2, each row of each part about its own mean."""

    @classmethod
    def total(cls, parts: Iterable[Self]) -> Self:
        """All parts merged, in any order. Variations: those within the parts and those between their means.

        Source: Chan, Golub & LeVeque 1983, doi:10.1080/00031305.1983.10483115.
        """
        counted = [part for part in parts if part.area > 0.0]
        whole = super().total(counted)
        if whole.finite_area == 0.0:
            return whole
        truth_mean, error_mean = whole.truth / whole.finite_area, whole.error / whole.finite_area
        scored = [part for part in counted if part.finite_area > 0.0]
        areas = [part.finite_area for part in scored]
        truth_steps = [part.truth / part.finite_area - truth_mean for part in scored]
        error_steps = [part.error / part.finite_area - error_mean for part in scored]
        return replace(
            whole,
            truth_variation=between(whole.truth_variation, areas, truth_steps, truth_steps),
            covariation=between(whole.covariation, areas, truth_steps, error_steps),
            error_variation=between(whole.error_variation, areas, error_steps, error_steps),
        )


class Yardstick:
    """Truth, climatology and reference of one field, for all forecasts of it.

    Keeps the sums in which a forecast has no part, where there are no gaps: they are taken with the first forecast, and
    every other one costs a pass over itself, truth and climatology. The digits are the same either way.
    """

    def __init__(
        self,
        *,
        truth: Field,
        climatology: Field | None = None,
        reference: Field | None = None,
        area_weights: NDArray[np.float64],
    ) -> None:
        """Arguments and errors are those of `field_moments`."""
        arrays = {"truth": truth, "climatology": climatology, "reference": reference}
        require_alike(arrays, truth.shape if truth.ndim == 2 else (1, 1))
        require_weights(area_weights, truth.shape)
        self._has_climatology, self._has_reference = climatology is not None, reference is not None
        t = np.ascontiguousarray(truth)
        # The truth stands in for an absent field: it is in the cache already, and those sums are dropped.
        c, r = (t if array is None else np.ascontiguousarray(array) for array in (climatology, reference))
        self._shape = t.shape
        self._origin = _some_truth(t, c, r, area_weights)
        by_rows = area_weights.ndim == 1
        weights = area_weights[:, None] / t.shape[1] if by_rows else area_weights
        self._fields = t, c, r
        self._weights = weights
        self._by_rows = by_rows
        self._settled: tuple[NDArray[np.float64], Callable[..., None]] | None = None

    def moments(self, forecast: Field, limits: tuple[float, float] | None = None) -> Moments:
        """All sums of one forecast of the field; arguments and errors are those of `field_moments`."""
        require_alike({"forecast": forecast}, self._shape)
        low, high = (float(np.float32(limit)) for limit in limits or (-math.inf, math.inf))
        sums = self._sums(np.ascontiguousarray(forecast), low, high)
        if limits is not None and sums[WITHIN] != forecast.size:
            outside = forecast.size - int(sums[WITHIN])
            raise OutsideLimits(f"{outside} of {forecast.size} values are not from {low:g} to {high:g}")
        if not math.isfinite(sums[ABSOLUTE_ERROR]):
            raise blame_forecast(forecast)
        return _moments(sums, self._origin, has_climatology=self._has_climatology, has_reference=self._has_reference)

    def _sums(self, forecast: Field, low: float, high: float) -> NDArray[np.float64]:
        if self._settled is not None:
            of_the_field, add = self._settled
            sums = of_the_field.copy()
            add(forecast, low, high, sums)
            return sums
        sums = np.zeros(SUMS, dtype=np.float64)
        if self._by_rows:
            rows = self._weights[:, 0]
            accumulate_rows(*self._fields, rows, self._origin, forecast, low, high, sums)
            of_the_field = sums.copy()
            of_the_field[OF_THE_FORECAST] = 0.0
            if np.isfinite(of_the_field).all():
                self._settled = of_the_field, accumulate_forecast.bound(*self._fields[:2], rows, self._origin)
                return sums
            self._by_rows = False  # it has gaps
            sums[:] = 0.0
        accumulate_points(*self._fields, self._weights, self._origin, forecast, low, high, sums)
        return sums


def field_moments(
    limits: tuple[float, float] | None = None,
    /,
    *,
    forecast: Field,
    truth: Field,
    climatology: Field | None = None,
    reference: Field | None = None,
    area_weights: NDArray[np.float64],
) -> Moments:
    """All sums of one field, in one pass that allocates nothing of a field's size.

    forecast, truth, climatology, reference: float32 (nlat, nlon), in one unit. area_weights: float64, of rows
    (nlat,), each shared by its points, or of points (nlat, nlon), as `regions.region_weights` makes them. What
    weighs 0 is not looked at. A point where truth, climatology or reference is not finite is left out, and
    `finite_area` says so. Rows are added in their order, so a field's sums never depend on who computes them
    or what else is computed. limits: the least and the greatest value that the forecast may hold, in its unit,
    anywhere, at points that do not count as well; a limit is the float32 next to it, so that a forecast clipped
    to it passes.

    Raises OutsideLimits (NaN is outside), NonFiniteForecast, NoFiniteTruth, GridMismatch (shapes differ) and
    BadField (not float32, or not 2-d).
    """
    baselines = {"climatology": climatology, "reference": reference}
    return Yardstick(truth=truth, **baselines, area_weights=area_weights).moments(forecast, limits)


def _some_truth(truth: Field, climatology: Field, reference: Field, area_weights: NDArray[np.float64]) -> float:
    """The truth at the first point that counts, to be subtracted before squaring, so that variances keep their digits.

    Only there: what stands for a missing value where nothing counts, such as 1e20, would cost all digits.
    """
    for t, c, r, w in zip(truth, climatology, reference, area_weights, strict=True):
        if not w.any():
            continue
        first = float(t[0])
        if w.ndim == 0 and math.isfinite(first) and math.isfinite(c[0]) and math.isfinite(r[0]):
            return first  # nearly always, and a look at the whole row costs as much as a coarse field's sums
        counts = (w > 0.0) & np.isfinite(t) & np.isfinite(c) & np.isfinite(r)
        if counts.any():
            return float(t[counts.argmax()])
    if not np.isfinite(truth).any():
        raise NoFiniteTruth("the truth has not one finite value in this field")
    raise NoFiniteTruth("truth, climatology and reference have no finite point in common where points count")


def _moments(sums: NDArray[np.float64], origin: float, *, has_climatology: bool, has_reference: bool) -> Moments:
    finite, error, absolute, squared, product, f_squared, t_squared, reference, q, qq, qd, eddy, area, _ = sums.tolist()
    return Moments(
        area=area,
        finite_area=finite,
        truth=origin * finite + q,
        error=error,
        absolute_error=absolute,
        squared_error=squared,
        anomaly_product=product if has_climatology else None,
        forecast_anomaly_squared=f_squared if has_climatology else None,
        truth_anomaly_squared=t_squared if has_climatology else None,
        reference_squared_error=reference if has_reference else None,
        truth_variation=max(qq - q * q / finite, 0.0),
        covariation=qd - q * error / finite,
        error_variation=max(squared - error * error / finite, 0.0),
        truth_eddy_variation=eddy,
    )
