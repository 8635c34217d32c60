"""How two quantities vary together over points: means, variations, covariation, mergeable; of anomalies above all.

Owns the centred statistics: centred ACC, activity. Never computes what `moments` has already.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Self

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from gaia.tasks.defined_tasks.weather.scoring.field import Field, NoFiniteTruth, blame_forecast, require_alike
from gaia.tasks.defined_tasks.weather.scoring.grid import point_weights
from gaia.tasks.defined_tasks.weather.scoring.kernels.compiled import Argument, Kernel
from gaia.tasks.defined_tasks.weather.scoring.sums import Sums, between


class Comoments(Sums, frozen=True, kw_only=True):
    """Area-weighted sums of x and y and of their variations about their own means. `Comoments()` is zero.

    Merged parts, of one field or of several, give the sums about the means of all their points.
    """

    area: float = 0.0
    """What the points weigh at which both are finite."""
    x: float = 0.0
    y: float = 0.0
    x_variation: float = 0.0
    """Sum of (x - mean x)2."""
    y_variation: float = 0.0
    """Sum of (y - mean y)2."""
    covariation: float = 0.0
    """Sum of (x - mean x)(y - mean y)."""

    @classmethod
    def total(cls, parts: Iterable[Self]) -> Self:
        """All parts merged, in any order: Chan, Golub & LeVeque 1983, doi:10.1080/00031305.1983.10483115."""
        counted = [part for part in parts if part.area > 0.0]
        whole = super().total(counted)
        if not counted:
            return whole
        areas = [part.area for part in counted]
        x_steps = [part.x / part.area - whole.x / whole.area for part in counted]
        y_steps = [part.y / part.area - whole.y / whole.area for part in counted]
        return replace(
            whole,
            x_variation=between(whole.x_variation, areas, x_steps, x_steps),
            y_variation=between(whole.y_variation, areas, y_steps, y_steps),
            covariation=between(whole.covariation, areas, x_steps, y_steps),
        )


class Activity(Struct, frozen=True, kw_only=True):
    """Standard deviations of the anomalies, in the variable's unit."""

    forecast: float
    truth: float
    ratio: float | None
    """forecast / truth: below 1 the forecast is too smooth. None where the truth has no anomalies."""


def anomaly_comoments(
    *, forecast: Field, truth: Field, climatology: Field, area_weights: NDArray[np.float64]
) -> Comoments:
    """x = forecast - climatology, y = truth - climatology, float32 (nlat, nlon), one unit, in one pass.

    area_weights as for `moments.field_moments`. Points where truth or climatology is not finite are left out.
    Sums are taken about the anomalies of some point, so that a climatology with an offset costs no digits.
    Raises as `field_moments`.
    """
    require_alike({"truth": truth, "forecast": forecast, "climatology": climatology}, truth.shape)
    weights = point_weights(area_weights, (truth.shape[0], truth.shape[1]))
    f, t, c = (np.ascontiguousarray(array) for array in (forecast, truth, climatology))
    x0, y0 = _origins(f, t, c, weights)
    sums = np.zeros(6, dtype=np.float64)
    _accumulate(f, t, c, weights, x0, y0, sums)
    area, x, y, xx, yy, xy = sums.tolist()
    if not math.isfinite(x):
        raise blame_forecast(forecast)
    return Comoments(
        area=area,
        x=x0 * area + x,
        y=y0 * area + y,
        x_variation=max(xx - x * x / area, 0.0),
        y_variation=max(yy - y * y / area, 0.0),
        covariation=xy - x * y / area,
    )


def correlation(sums: Comoments) -> float | None:
    """Centred correlation of x and y, -1 to 1: of anomalies, the centred ACC.

    Source: Wilks, Statistical Methods in the Atmospheric Sciences, 4th ed., chapter 9.
    0 where x is flat: it says nothing. None where y is: there is nothing to be said.
    """
    if sums.y_variation <= 0.0:
        return None
    if sums.x_variation <= 0.0:
        return 0.0
    value = sums.covariation / (math.sqrt(sums.x_variation) * math.sqrt(sums.y_variation))
    return min(max(value, -1.0), 1.0)  # rounding may carry it past 1 by 1e-16


def activity(sums: Comoments) -> Activity | None:
    """How much forecast and truth move about their means: sqrt of the variance. None before any field is added.

    Source: forecast activity as ECMWF verifies it, Ben Bouallegue et al. 2024, doi:10.1175/BAMS-D-23-0162.1.
    """
    if sums.area <= 0.0:
        return None
    forecast, truth = math.sqrt(sums.x_variation / sums.area), math.sqrt(sums.y_variation / sums.area)
    return Activity(forecast=forecast, truth=truth, ratio=forecast / truth if truth > 0.0 else None)


def _origins(forecast: Field, truth: Field, climatology: Field, weights: NDArray[np.float64]) -> tuple[float, float]:
    """The anomalies of the first point that counts, to be subtracted before squaring."""
    for f, t, c, w in zip(forecast, truth, climatology, weights, strict=True):
        counts = np.flatnonzero((w > 0.0) & np.isfinite(t) & np.isfinite(c))
        if counts.size:
            first = counts[0]
            return float(f[first]) - float(c[first]), float(t[first]) - float(c[first])
    raise NoFiniteTruth("truth and climatology have no finite point in common")


def _accumulate_rows(  # type: ignore[no-untyped-def]  # noqa: PLR0917  numba takes positions only
    forecast, truth, climatology, point_weights, x_origin, y_origin, sums
) -> None:
    for j in range(truth.shape[0]):
        f_row, t_row, c_row, w_row = forecast[j], truth[j], climatology[j], point_weights[j]
        n = x1 = y1 = xx = yy = xy = 0.0
        for i in range(t_row.size):
            f, t, c, w = np.float64(f_row[i]), np.float64(t_row[i]), np.float64(c_row[i]), w_row[i]
            counts = (w > 0.0) & (abs(t + c) < np.inf)
            x = (f - c) - x_origin if counts else 0.0
            y = (t - c) - y_origin if counts else 0.0
            n += w if counts else 0.0
            x1 += w * x
            y1 += w * y
            xx += w * (x * x)
            yy += w * (y * y)
            xy += w * (x * y)
        row = (n, x1, y1, xx, yy, xy)
        for k in range(6):
            sums[k] += row[k]


_accumulate = Kernel(
    _accumulate_rows, *[Argument.FIELD] * 3, Argument.POINTS, Argument.NUMBER, Argument.NUMBER, Argument.SUMS
)
