"""Scores of extremes as yes-or-no events: did the truth, and did the forecast, exceed a threshold at a point?

Owns the contingency table. Never computes a quantile: the caller gives the field of thresholds.
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
    """The area of each of the four outcomes, and the errors where the truth is an event. `Contingency()` is zero."""

    hits: float = 0.0
    misses: float = 0.0
    false_alarms: float = 0.0
    correct_negatives: float = 0.0
    event_error: float = 0.0
    """Sum of forecast - truth where the truth exceeds the threshold, in the variable's unit."""
    event_squared_error: float = 0.0
    """Sum of (forecast - truth)2 at the same points."""


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
    """(hits + false alarms) / (hits + misses), 0 to infinity. Above 1 extremes are forecast too often."""
    critical_success_index: float | None
    """hits / (hits + misses + false alarms)."""
    event_bias: float | None
    """Mean error where the truth is an event, in the variable's unit. A smooth forecast of high extremes has < 0."""
    event_rmse: float | None
    """RMSE where the truth is an event, in the variable's unit."""


def contingency(
    *, forecast: Field, truth: Field, threshold: Field, area_weights: NDArray[np.float64], below: bool = False
) -> Contingency:
    """The contingency table of one field: forecast event or not, against truth event or not.

    Args:
        forecast: float32 `(latitude, longitude)`.
        truth: The same shape and unit. A point where it is NaN or infinite is left out.
        threshold: The same shape and unit, such as the climatological 95th percentile. A point where it is NaN or
            infinite is left out.
        area_weights: float64 `(latitude,)` or `(latitude, longitude)`, as for `moments.field_moments`.
        below: An event is a value below the threshold instead of above it. A value equal to it is never an event.

    Raises:
        NonFiniteForecast: The forecast is not finite at a point that counts (miner's fault).
        NoFiniteTruth: No point counts (source's fault).
        BadField: An array is not float32, or is empty (validator's fault).
        GridMismatch: Shapes differ (validator's fault).
        BadGrid: The weights are not float64, finite and non-negative (validator's fault).

    >>> import numpy as np
    >>> table = contingency(forecast=np.float32([[31, 31, 29]]), truth=np.float32([[32, 28, 28]]),
    ...                     threshold=np.float32([[30, 30, 30]]), area_weights=np.ones(1))
    >>> metrics = extreme_metrics(table)
    >>> metrics.hit_rate, round(metrics.false_alarm_rate, 6)
    (1.0, 0.5)
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
    """The scores of a contingency table. `ExtremeMetrics` gives the formula of each.

    Event bias and event RMSE look only at points where the truth is an event. They describe a forecast. They must not
    be used to pay: a forecaster paid by them alone would earn by exaggerating (Lerch et al. 2017).

    Returns:
        None if nothing was added. A single score is None where its divisor is 0.

    References:
        Wilks, Statistical Methods in the Atmospheric Sciences, 4th ed., chapter 9. Lerch et al. 2017,
        doi:10.1214/16-STS588.
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
            # Selections instead of branches, so that the compiler can vectorise the loop.
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
