"""The kernels behind `moments`: one pass over a field, for weights of rows and for weights of points.

Owns the loops and the order of their sums. Checks nothing and decides nothing: that is `moments`.
"""

from __future__ import annotations

import numpy as np

from gaia.tasks.defined_tasks.weather.scoring.kernels.compiled import Argument, Kernel

SUMS = 14
"""With the letters of `moments.Moments` and q = truth - origin: 1, d, |d|, d2, ab, a2, b2, e2, q, q2, qd, the eddies'
part of q2, area; and how many values are within the limits."""
ABSOLUTE_ERROR, WITHIN = 2, 13
OF_THE_FORECAST = [1, 2, 3, 4, 5, 10, 13]
"""Those that a forecast has a part in."""


def _accumulate_rows(  # type: ignore[no-untyped-def]  # noqa: PLR0917  numba takes positions only
    truth, climatology, reference, point_weights, origin, forecast, low, high, sums
) -> None:
    """A field without gaps: one leaves a sum of b2, e2 or q that is not finite, as no squares of float32 values do."""
    for j in range(truth.shape[0]):
        f_row, t_row, c_row, r_row, w = forecast[j], truth[j], climatology[j], reference[j], point_weights[j]
        within = 0
        if w == 0.0:
            for i in range(f_row.size):
                within += 1 if (f_row[i] >= low) & (f_row[i] <= high) else 0
            sums[13] += within
            continue
        d1 = ad = d2 = ab = aa = bb = ee = q1 = q2 = qd = 0.0
        for i in range(t_row.size):
            f, t, c = np.float64(f_row[i]), np.float64(t_row[i]), np.float64(c_row[i])
            within += 1 if (f >= low) & (f <= high) else 0
            d, a, b, q, e = f - t, f - c, t - c, t - origin, np.float64(r_row[i]) - t
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
        sums[0] += w * t_row.size
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
        sums[11] += w * max(q2 - q1 * q1 / t_row.size, 0.0)
        sums[12] += w * t_row.size
        sums[13] += within


accumulate_rows = Kernel(
    _accumulate_rows,
    *(*[Argument.FIELD] * 3, Argument.ROWS, Argument.NUMBER),
    *(Argument.FIELD, *[Argument.NUMBER] * 2, Argument.SUMS),
)


def _accumulate_forecast(  # type: ignore[no-untyped-def]  # noqa: PLR0917  numba takes positions only
    truth, climatology, point_weights, origin, forecast, low, high, sums
) -> None:
    """As `_accumulate_rows`, to `sums` that have all that the forecast has no part in: the same digits, for both are
    compiled for the same vectors.
    """
    for j in range(truth.shape[0]):
        f_row, t_row, c_row, w = forecast[j], truth[j], climatology[j], point_weights[j]
        within = 0
        if w == 0.0:
            for i in range(f_row.size):
                within += 1 if (f_row[i] >= low) & (f_row[i] <= high) else 0
            sums[13] += within
            continue
        d1 = ad = d2 = ab = aa = qd = 0.0
        for i in range(t_row.size):
            f, t, c = np.float64(f_row[i]), np.float64(t_row[i]), np.float64(c_row[i])
            within += 1 if (f >= low) & (f <= high) else 0
            d, a, b, q = f - t, f - c, t - c, t - origin
            d1 += d
            ad += abs(d)
            d2 += d * d
            ab += a * b
            aa += a * a
            qd += q * d
        sums[1] += w * d1
        sums[2] += w * ad
        sums[3] += w * d2
        sums[4] += w * ab
        sums[5] += w * aa
        sums[10] += w * qd
        sums[13] += within


accumulate_forecast = Kernel(
    _accumulate_forecast,
    *(*[Argument.FIELD] * 2, Argument.ROWS, Argument.NUMBER),
    *(Argument.FIELD, *[Argument.NUMBER] * 2, Argument.SUMS),
)


def _accumulate_each(  # type: ignore[no-untyped-def]  # noqa: PLR0917  numba takes positions only
    truth, climatology, reference, point_weights, origin, forecast, low, high, sums
) -> None:
    """A field with gaps or with a weight for every point; a single column of weights is shared by a row's points."""
    for j in range(truth.shape[0]):
        f_row, t_row, c_row, r_row, w_row = forecast[j], truth[j], climatology[j], reference[j], point_weights[j]
        n = d1 = ad = d2 = ab = aa = bb = ee = q1 = q2 = qd = area = within = 0.0
        for i in range(t_row.size):
            w = w_row[i] if w_row.size > 1 else w_row[0]
            t, c, r = np.float64(t_row[i]), np.float64(c_row[i]), np.float64(r_row[i])
            # Three float32 values cannot overflow a float64: the sum is finite exactly if all three are.
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


accumulate_points = Kernel(
    _accumulate_each,
    *(*[Argument.FIELD] * 3, Argument.POINTS, Argument.NUMBER),
    *(Argument.FIELD, *[Argument.NUMBER] * 2, Argument.SUMS),
)
