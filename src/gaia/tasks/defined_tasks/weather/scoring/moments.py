"""The statistics of one field in one pass, and how they add up: statistic -> mergeable aggregate -> metric.

Owns the only kernel, and is the only module that imports numba. Never roots, divides or clamps: that is
`metrics`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from msgspec import Struct, convert
from msgspec.structs import astuple
from numpy.typing import NDArray

from gaia.contracts.errors import MinerFault, SourceFault, ValidatorFault
from gaia.tasks.defined_tasks.weather.scoring.grid import GridMismatch

Field = NDArray[np.float32]
"""(nlat, nlon), C order."""


class NonFiniteForecast(MinerFault):
    """A forecast holds NaN or infinity at a point where the truth is finite."""


class NoFiniteTruth(SourceFault):
    """A field has not one point at which truth, climatology and reference are all finite."""


class BadField(ValidatorFault):
    """An array that should be a horizontal field is something else."""


def _plus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a + b


class Moments(Struct, frozen=True, kw_only=True):
    """Area-weighted sums over the points that count, float64. `Moments()` is zero; `+` merges fields.

    With d = forecast - truth, a = forecast - climatology, b = truth - climatology, e = reference - truth. A
    sum that needs a climatology or a reference is None where a merged field had none. Units are those of the
    variable (squared).
    """

    area: float = 0.0
    """What all points weigh together: 1 a field."""
    finite_area: float = 0.0
    """What the points weigh where truth, and climatology and reference if given, are finite."""
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
    """Sum of (truth - its area mean)2, each field about its own mean."""
    covariation: float = 0.0
    """Sum of (truth - its area mean)(d - its area mean), each field about its own means."""
    error_variation: float = 0.0
    """Sum of (d - its area mean)2, each field about its own mean."""
    truth_eddy_variation: float = 0.0
    """Sum of (truth - its zonal mean)2."""

    def __add__(self, other: Moments) -> Moments:
        mine, theirs = astuple(self), astuple(other)
        merged = map(_plus, mine, theirs)
        return convert(dict(zip(self.__struct_fields__, merged, strict=True)), Moments)


def field_moments(
    *,
    forecast: Field,
    truth: Field,
    climatology: Field | None = None,
    reference: Field | None = None,
    area_weights: NDArray[np.float64],
) -> Moments:
    """All sums of one field, in one pass that allocates nothing of a field's size.

    forecast, truth, climatology, reference: float32 (nlat, nlon), in one unit. area_weights: float64 (nlat,),
    sums to 1 over the rows. A point where truth, climatology or reference is not finite is left out, and
    `finite_area` says so. Rows are added in their order, so a field's sums never depend on who computes them
    or what else is computed.

    Raises NonFiniteForecast, NoFiniteTruth, GridMismatch (shapes differ) and BadField (not float32, or not
    2-d).
    """
    shape = truth.shape
    arrays = {"truth": truth, "forecast": forecast, "climatology": climatology, "reference": reference}
    for name, array in arrays.items():
        if array is not None:
            _check(name, array, shape)
    if area_weights.shape != shape[:1]:
        raise GridMismatch(f"{area_weights.size} area weights for {shape[0]} rows")
    t = np.ascontiguousarray(truth)
    # The truth stands in for an absent field: it is in the cache already, and those sums are dropped.
    rest = [t if array is None else np.ascontiguousarray(array) for array in (forecast, climatology, reference)]
    sums = np.zeros(_SUMS, dtype=np.float64)
    _accumulate(rest[0], t, rest[1], rest[2], area_weights / shape[1], _origin(t), sums)
    return _moments(sums, has_climatology=climatology is not None, has_reference=reference is not None)


def _check(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    if array.dtype != np.float32 or array.ndim != 2 or array.size == 0:
        raise BadField(f"{name} must be float32 (latitude, longitude), got {array.dtype} {array.shape}")
    if array.shape != shape:
        raise GridMismatch(f"{name} has shape {array.shape}, truth {shape}")


def _origin(truth: Field) -> float:
    """Some value of the field, to be subtracted before squaring, so that variances keep their digits."""
    for row in truth:
        finite = row[np.isfinite(row)]
        if finite.size:
            return float(finite[0])
    raise NoFiniteTruth("the truth has not one finite value in this field")


def _moments(sums: NDArray[np.float64], *, has_climatology: bool, has_reference: bool) -> Moments:
    area, error, absolute, squared, product, forecast_squared, truth_squared, reference, q, qq, qd, eddy = sums.tolist()
    if area == 0.0:
        raise NoFiniteTruth("truth, climatology and reference have no finite point in common")
    if not math.isfinite(absolute):
        raise NonFiniteForecast("the forecast is not finite at points where the truth is")
    return Moments(
        area=1.0,
        finite_area=area,
        error=error,
        absolute_error=absolute,
        squared_error=squared,
        anomaly_product=product if has_climatology else None,
        forecast_anomaly_squared=forecast_squared if has_climatology else None,
        truth_anomaly_squared=truth_squared if has_climatology else None,
        reference_squared_error=reference if has_reference else None,
        truth_variation=max(qq - q * q / area, 0.0),
        covariation=qd - q * error / area,
        error_variation=max(squared - error * error / area, 0.0),
        truth_eddy_variation=eddy,
    )


_SUMS = 12


def _accumulate_rows(  # type: ignore[no-untyped-def]  # noqa: PLR0917  numba takes positions only
    forecast, truth, climatology, reference, point_weights, origin, sums
) -> None:
    for j in range(truth.shape[0]):
        f_row, t_row, c_row, r_row = forecast[j], truth[j], climatology[j], reference[j]
        n = d1 = ad = d2 = ab = aa = bb = ee = q1 = q2 = qd = 0.0
        for i in range(t_row.size):
            t, c, r = np.float64(t_row[i]), np.float64(c_row[i]), np.float64(r_row[i])
            # Three float32 values cannot overflow a float64, so the sum is finite exactly if all three are.
            counts = abs(t + c + r) < np.inf
            f = np.float64(f_row[i])
            d = f - t if counts else 0.0
            a = f - c if counts else 0.0
            b = t - c if counts else 0.0
            e = r - t if counts else 0.0
            q = t - origin if counts else 0.0
            n += 1.0 if counts else 0.0
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
        w = point_weights[j]
        eddy = max(q2 - q1 * q1 / n, 0.0) if n > 0.0 else 0.0
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


def _compile(function: Callable[..., None]) -> Callable[..., None]:
    """Compiled once for read-only float32 rows (writable ones convert), and kept on disk where possible."""
    field = numba.types.Array(numba.float32, 2, "C", readonly=True)
    row = numba.types.Array(numba.float64, 1, "C", readonly=True)
    signature = numba.void(field, field, field, field, row, numba.float64, numba.float64[::1])
    # Sums may be reordered into vector lanes; "nnan" and "ninf" stay off, for NaN must be seen.
    may_reorder = {"reassoc", "contract", "nsz", "arcp", "afn"}
    try:
        return numba.njit([signature], nogil=True, fastmath=may_reorder, cache=True)(function)
    except RuntimeError:  # numba's way to say that no folder for its cache is writable
        return numba.njit([signature], nogil=True, fastmath=may_reorder)(function)


_accumulate = _compile(_accumulate_rows)
