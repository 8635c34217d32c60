"""Everything about one deterministic field in one call, and everything about many of them merged.

Owns the combining of statistics: all speak of the same points. Never holds a formula of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Self

import numpy as np
from msgspec import Struct
from msgspec.structs import asdict
from numpy.typing import NDArray

from gaia.tasks.defined_tasks.weather.scoring.comoments import (
    Activity,
    Comoments,
    activity,
    anomaly_comoments,
    correlation,
)
from gaia.tasks.defined_tasks.weather.scoring.extremes import (
    Contingency,
    ExtremeMetrics,
    contingency,
    extreme_metrics,
)
from gaia.tasks.defined_tasks.weather.scoring.field import Field, require_alike
from gaia.tasks.defined_tasks.weather.scoring.metrics import ComponentMetrics, metrics_of, skill_against
from gaia.tasks.defined_tasks.weather.scoring.moments import Moments, field_moments


class FieldStatistics(Struct, frozen=True, kw_only=True):
    """All sums of one field, or of many merged. `FieldStatistics()` is zero; None: a merged part lacked it."""

    moments: Moments = Moments()
    anomalies: Comoments | None = Comoments()
    """Of forecast and truth from the climatology."""
    persistence: Moments | None = Moments()
    """Of the persistence forecast."""
    extremes: Contingency | None = Contingency()

    def __add__(self, other: Self) -> Self:
        return type(self).total((self, other))

    @classmethod
    def total(cls, parts: Iterable[Self]) -> Self:
        """All parts merged; the order changes no digit."""
        merged = list(parts)
        anomalies = [part.anomalies for part in merged if part.anomalies is not None]
        persistence = [part.persistence for part in merged if part.persistence is not None]
        extremes = [part.extremes for part in merged if part.extremes is not None]
        return cls(
            moments=Moments.total(part.moments for part in merged),
            anomalies=Comoments.total(anomalies) if len(anomalies) == len(merged) else None,
            persistence=Moments.total(persistence) if len(persistence) == len(merged) else None,
            extremes=Contingency.total(extremes) if len(extremes) == len(merged) else None,
        )


class FieldMetrics(ComponentMetrics, frozen=True, kw_only=True):
    """One field, or several merged ones, scored in full. Errors have the variable's unit. None: not available."""

    rmse_persistence: float | None
    skill_persistence: float | None
    acc_centred: float | None
    """Correlation of the anomalies about their means; `acc` is the uncentred one."""
    activity: Activity | None
    extremes: ExtremeMetrics | None


def field_statistics(
    *,
    forecast: Field,
    truth: Field,
    climatology: Field | None = None,
    reference: Field | None = None,
    persistence: Field | None = None,
    threshold: Field | None = None,
    area_weights: NDArray[np.float64],
) -> FieldStatistics:
    """All sums of one field: float32 (nlat, nlon), one unit, one valid time, one grid.

    `reference`: the operational forecast; `threshold`: a climatological quantile, the 95th percentile as a rule.
    area_weights: of rows (nlat,) or points (nlat, nlon), `regions.region_weights`. A point at which any of the
    given fields but the forecast is not finite is left out of all sums. Raises as `moments.field_moments`.

    >>> import numpy as np
    >>> one = np.ones((1, 1), dtype=np.float32)
    >>> metrics = all_metrics(field_statistics(forecast=3 * one, truth=one, persistence=5 * one,
    ...                                        area_weights=np.ones(1)))
    >>> metrics.rmse, metrics.skill_persistence
    (2.0, 0.75)
    """
    baselines = {
        "climatology": climatology,
        "reference": reference,
        "persistence": persistence,
        "threshold": threshold,
    }
    require_alike({"truth": truth, "forecast": forecast, **baselines}, truth.shape)
    truth = _where_all_are_finite(truth, baselines.values())
    return FieldStatistics(
        moments=field_moments(
            forecast=forecast,
            truth=truth,
            climatology=climatology,
            reference=reference,
            area_weights=area_weights,
        ),
        anomalies=None
        if climatology is None
        else anomaly_comoments(forecast=forecast, truth=truth, climatology=climatology, area_weights=area_weights),
        persistence=None
        if persistence is None
        else field_moments(forecast=persistence, truth=truth, area_weights=area_weights),
        extremes=None
        if threshold is None
        else contingency(forecast=forecast, truth=truth, threshold=threshold, area_weights=area_weights),
    )


def all_metrics(statistics: FieldStatistics) -> FieldMetrics:
    """All metrics of one aggregate, roots last. Raises NothingToScore for none."""
    anomalies, extremes, persistence = statistics.anomalies, statistics.extremes, statistics.persistence
    return FieldMetrics(
        **asdict(metrics_of(statistics.moments)),
        rmse_persistence=None
        if persistence is None
        else math.sqrt(persistence.squared_error / persistence.finite_area),
        skill_persistence=None if persistence is None else skill_against(statistics.moments, persistence),
        acc_centred=None if anomalies is None else correlation(anomalies),
        activity=None if anomalies is None else activity(anomalies),
        extremes=None if extremes is None else extreme_metrics(extremes),
    )


def _where_all_are_finite(truth: Field, others: Iterable[Field | None]) -> Field:
    """The truth, missing where any baseline is; itself if none is."""
    gaps = [~np.isfinite(other) for other in others if other is not None and not np.isfinite(other).all()]
    if not gaps:
        return truth
    return np.where(np.any(gaps, axis=0), np.float32(np.nan), truth)
