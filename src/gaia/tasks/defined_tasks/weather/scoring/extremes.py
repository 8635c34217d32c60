"""Yes-or-no scores of extremes: did truth, and did forecast, exceed a climatological quantile, and did they agree?

Owns the contingency table. Never computes a quantile: the field of thresholds is given.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gaia.tasks.defined_tasks.weather.scoring.field import Field, NoFiniteTruth, blame_forecast, require_alike
from gaia.tasks.defined_tasks.weather.scoring.grid import point_weights
from gaia.tasks.defined_tasks.weather.scoring.kernels.compiled import Argument, Kernel
from gaia.tasks.defined_tasks.weather.scoring.sums import Sums


class Contingency(Sums, frozen=True, kw_only=True):
    """The area of each of the four outcomes, and the errors where the truth was extreme. `Contingency()` is zero."""

    hits: float = 0.0
    misses: float = 0.0
    false_alarms: float = 0.0
    correct_negatives: float = 0.0
    event_error: float = 0.0
    """Sum of forecast - truth where the truth exceeds the threshold, in the variable's unit."""
    event_squared_error: float = 0.0
    """Sum of (forecast - truth)2 there."""


class ExtremeMetrics(Struct, frozen=True, kw_only=True):
    """Scores of a contingency table, 0 to 1 unless said otherwise. None where there is nothing to divide by."""

    base_rate: float
    """The share of the area where the truth exceeded the threshold."""
    hit_rate: float | None
    """hits / (hits + misses), probability of detection."""
    false_alarm_rate: float | None
    """false alarms / (false alarms + correct negatives), probability of false detection."""
    false_alarm_ratio: float | None
    """false alarms / (hits + false alarms)."""
    frequency_bias: float | None
    """(hits + false alarms) / (hits + misses), 0 to infinity: above 1, extremes are forecast too often."""
    critical_success_index: float | None
    """hits / (hits + misses + false alarms)."""
    event_bias: float | None
    """Mean error where the truth is extreme, in the variable's unit; of smooth forecasts of high extremes < 0."""
    event_rmse: float | None


def contingency(
    *, forecast: Field, truth: Field, threshold: Field, area_weights: NDArray[np.float64], below: bool = False
) -> Contingency:
    """The table of one field against `threshold`, such as the climatological 95th percentile.

    All float32 (nlat, nlon), in one unit. An event is a value above the threshold, or below it with `below`;
    equal is none. area_weights as for `moments.field_moments`. Points where truth or threshold is not finite
    are left out. Raises as `field_moments`.
    """
    require_alike({"truth": truth, "forecast": forecast, "threshold": threshold}, truth.shape)
    weights = point_weights(area_weights, (truth.shape[0], truth.shape[1]))
    sums = np.zeros(7, dtype=np.float64)
    fields = [np.ascontiguousarray(array) for array in (forecast, truth, threshold)]
    _accumulate(*fields, weights, -1.0 if below else 1.0, sums)
    hits, misses, false_alarms, correct_negatives, error, squared, total_error = sums.tolist()
    if hits + misses + false_alarms + correct_negatives == 0.0:
        raise NoFiniteTruth("truth and threshold have no finite point in common")
    if not np.isfinite(total_error):
        raise blame_forecast(forecast)
    return Contingency(
        hits=hits,
        misses=misses,
        false_alarms=false_alarms,
        correct_negatives=correct_negatives,
        event_error=error,
        event_squared_error=squared,
    )


def extreme_metrics(table: Contingency) -> ExtremeMetrics | None:
    """Hit and false-alarm scores: Wilks, Statistical Methods in the Atmospheric Sciences, 4th ed., chapter 9.

    None before any field is added. Event bias and RMSE look only where the truth was extreme: they describe, but
    a forecaster who is paid by them alone earns by exaggerating (Lerch et al. 2017, doi:10.1214/16-STS588).
    """
    events, quiet = table.hits + table.misses, table.false_alarms + table.correct_negatives
    warned = table.hits + table.false_alarms
    if events + quiet <= 0.0:
        return None
    mse = _ratio(table.event_squared_error, events)
    return ExtremeMetrics(
        base_rate=events / (events + quiet),
        hit_rate=_ratio(table.hits, events),
        false_alarm_rate=_ratio(table.false_alarms, quiet),
        false_alarm_ratio=_ratio(table.false_alarms, warned),
        frequency_bias=_ratio(warned, events),
        critical_success_index=_ratio(table.hits, events + table.false_alarms),
        event_bias=_ratio(table.event_error, events),
        event_rmse=None if mse is None else float(np.sqrt(mse)),
    )


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0.0 else None


def _accumulate_rows(  # type: ignore[no-untyped-def]  # noqa: PLR0917  numba takes positions only
    forecast, truth, threshold, point_weights, sign, sums
) -> None:
    for j in range(truth.shape[0]):
        f_row, t_row, q_row, w_row = forecast[j], truth[j], threshold[j], point_weights[j]
        hits = misses = alarms = quiet = error = squared = everywhere = 0.0
        for i in range(t_row.size):
            f, t, q = np.float64(f_row[i]), np.float64(t_row[i]), np.float64(q_row[i])
            counts = (w_row[i] > 0.0) & (abs(t + q) < np.inf)
            w = w_row[i] if counts else 0.0
            d = f - t if counts else 0.0
            happened, expected = sign * (t - q) > 0.0, sign * (f - q) > 0.0
            # Selections instead of branches, for the compiler's vector lanes.
            event, calm = (w, 0.0) if happened else (0.0, w)
            everywhere += abs(d)
            error += event * d
            squared += event * (d * d)
            hits += event if expected else 0.0
            misses += 0.0 if expected else event
            alarms += calm if expected else 0.0
            quiet += 0.0 if expected else calm
        row = (hits, misses, alarms, quiet, error, squared, everywhere)
        for k in range(7):
            sums[k] += row[k]


_accumulate = Kernel(_accumulate_rows, *[Argument.FIELD] * 3, Argument.POINTS, Argument.NUMBER, Argument.SUMS)
