"""The statistics of one field in one pass, and how they add up: statistic -> mergeable aggregate -> metric.

Owns the kernel that every score needs; rarer statistics have their own (`comoments`, `extremes`, `ensemble`), so
that this one stays fast. Never roots, divides or clamps: that is `metrics`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Self

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from gaia.tasks.defined_tasks.weather.scoring.compiled import Argument, Kernel
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
from gaia.tasks.defined_tasks.weather.scoring.sums import Sums, between

__all__ = ["BadField", "Field", "Moments", "NoFiniteTruth", "NonFiniteForecast", "OutsideLimits", "field_moments"]


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
    shape = truth.shape
    arrays = {"truth": truth, "forecast": forecast, "climatology": climatology, "reference": reference}
    require_alike(arrays, shape if truth.ndim == 2 else (1, 1))
    require_weights(area_weights, shape)
    t = np.ascontiguousarray(truth)
    # The truth stands in for an absent field: it is in the cache already, and those sums are dropped.
    f, c, r = (t if array is None else np.ascontiguousarray(array) for array in (forecast, climatology, reference))
    sums = np.zeros(_SUMS, dtype=np.float64)
    origin = _some_truth(t, c, r, area_weights)
    low, high = (float(np.float32(limit)) for limit in limits or (-math.inf, math.inf))
    if area_weights.ndim == 1:
        _accumulate(f, t, c, r, area_weights / shape[1], origin, low, high, sums)
    else:
        _accumulate_points(f, t, c, r, area_weights, origin, low, high, sums)
    if limits is not None and sums[_WITHIN] != f.size:
        raise OutsideLimits(f"{f.size - int(sums[_WITHIN])} of {f.size} values are not from {low:g} to {high:g}")
    if not math.isfinite(sums[_ABSOLUTE_ERROR]):
        raise blame_forecast(forecast)
    return _moments(sums, origin, has_climatology=climatology is not None, has_reference=reference is not None)


def _some_truth(truth: Field, climatology: Field, reference: Field, area_weights: NDArray[np.float64]) -> float:
    """The truth at the first point that counts, to be subtracted before squaring, so that variances keep their digits.

    Only there: what stands for a missing value where nothing counts, such as 1e20, would cost all digits.
    """
    for j in np.flatnonzero(area_weights.reshape(truth.shape[0], -1).any(axis=1)):
        counts = (
            (area_weights[j] > 0.0) & np.isfinite(truth[j]) & np.isfinite(climatology[j]) & np.isfinite(reference[j])
        )
        if counts.any():
            return float(truth[j, counts.argmax()])
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


_SUMS = 14
_ABSOLUTE_ERROR, _WITHIN = 2, 13


def _accumulate_rows(  # type: ignore[no-untyped-def]  # noqa: PLR0917  numba takes positions only
    forecast, truth, climatology, reference, point_weights, origin, low, high, sums
) -> None:
    for j in range(truth.shape[0]):
        f_row, t_row, c_row, r_row = forecast[j], truth[j], climatology[j], reference[j]
        if point_weights[j] == 0.0:
            for i in range(f_row.size):
                f = np.float64(f_row[i])
                sums[13] += 1.0 if (f >= low) & (f <= high) else 0.0
            continue
        # Most rows have no gaps, and need not look for any: one in truth, climatology or reference would show in
        # q1, bb or ee, for no sum of squares of float32 values overflows a float64.
        for gaps in (False, True):
            n = within = 0
            d1 = ad = d2 = ab = aa = bb = ee = q1 = q2 = qd = 0.0
            for i in range(t_row.size):
                t, c, r = np.float64(t_row[i]), np.float64(c_row[i]), np.float64(r_row[i])
                # Three float32 values cannot overflow a float64, so the sum is finite exactly if all three are.
                counts = abs(t + c + r) < np.inf if gaps else True
                f = np.float64(f_row[i])
                within += 1 if (f >= low) & (f <= high) else 0
                d = f - t if counts else 0.0
                a = f - c if counts else 0.0
                b = t - c if counts else 0.0
                e = r - t if counts else 0.0
                q = t - origin if counts else 0.0
                n += 1 if counts else 0
                d1 += d
                ad += abs(d)
                d2 += d * d
                ab += a * b
                aa += a * a
                bb += b * b
                ee += e * e
                q1 += q
                q2 += q * q
                qd += q * d
            if abs(q1) + bb + ee < np.inf:
                break
        w = point_weights[j]
        eddy = max(q2 - q1 * q1 / n, 0.0) if n > 0 else 0.0
        sums[0] += w * n
        sums[1] += w * d1
        sums[2] += w * ad
        sums[3] += w * d2
        sums[4] += w * ab
        sums[5] += w * aa
        sums[6] += w * bb
        sums[7] += w * ee
        sums[8] += w * q1
        sums[9] += w * q2
        sums[10] += w * qd
        sums[11] += w * eddy
        sums[12] += w * t_row.size
        sums[13] += within


_accumulate = Kernel(
    _accumulate_rows,
    *[Argument.FIELD] * 4,
    *(Argument.ROWS, *[Argument.NUMBER] * 3, Argument.SUMS),
)


def _accumulate_each(  # type: ignore[no-untyped-def]  # noqa: PLR0917  numba takes positions only
    forecast, truth, climatology, reference, point_weights, origin, low, high, sums
) -> None:
    for j in range(truth.shape[0]):
        f_row, t_row, c_row, r_row, w_row = forecast[j], truth[j], climatology[j], reference[j], point_weights[j]
        n = d1 = ad = d2 = ab = aa = bb = ee = q1 = q2 = qd = area = within = 0.0
        for i in range(t_row.size):
            w, t, c, r = w_row[i], np.float64(t_row[i]), np.float64(c_row[i]), np.float64(r_row[i])
            counts = (w > 0.0) & (abs(t + c + r) < np.inf)
            f = np.float64(f_row[i])
            within += 1.0 if (f >= low) & (f <= high) else 0.0
            d = f - t if counts else 0.0
            a = f - c if counts else 0.0
            b = t - c if counts else 0.0
            e = r - t if counts else 0.0
            q = t - origin if counts else 0.0
            area += w
            n += w if counts else 0.0
            d1 += w * d
            ad += w * abs(d)
            d2 += w * (d * d)
            ab += w * (a * b)
            aa += w * (a * a)
            bb += w * (b * b)
            ee += w * (e * e)
            q1 += w * q
            q2 += w * (q * q)
            qd += w * (q * d)
        eddy = max(q2 - q1 * q1 / n, 0.0) if n > 0.0 else 0.0
        row = (n, d1, ad, d2, ab, aa, bb, ee, q1, q2, qd, eddy, area, within)
        for k in range(14):
            sums[k] += row[k]


_accumulate_points = Kernel(
    _accumulate_each,
    *[Argument.FIELD] * 4,
    *(Argument.POINTS, *[Argument.NUMBER] * 3, Argument.SUMS),
)
