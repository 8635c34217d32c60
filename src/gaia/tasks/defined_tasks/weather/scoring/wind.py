"""The wind as one quantity: scores of the vector error, from the statistics of its two components.

Owns what two components have together. Never reads a field: both are summed already.
"""

from __future__ import annotations

import math

from msgspec import Struct

from gaia.tasks.defined_tasks.weather.scoring.field_summary import FieldStatistics
from gaia.tasks.defined_tasks.weather.scoring.metrics import require_same_area, skill, wind_vector_rmse


class WindMetrics(Struct, frozen=True, kw_only=True):
    """Both components scored together: `du2 + dv2` stands where the error of one field has `d2`. m/s; None: not had."""

    mse: float
    rmse: float
    coverage: float
    rmse_clim: float | None
    rmse_ref: float | None
    rmse_persistence: float | None
    skill_clim: float | None
    skill_ref: float | None
    skill_persistence: float | None


def wind_metrics(u: FieldStatistics, v: FieldStatistics) -> WindMetrics:
    """Scores of the vector (u, v), each component one aggregate of the same fields. Raises NothingToScore.

    RMSE = sqrt(<du2 + dv2>), skill_x = 1 - MSE / MSE_x with vector errors throughout. Source: Rasp et al. 2024,
    doi:10.1029/2023MS004019, wind vector RMSE.
    """
    rmse = wind_vector_rmse(u.moments, v.moments)
    area = u.moments.finite_area
    clim = _mean(u.moments.truth_anomaly_squared, v.moments.truth_anomaly_squared, area)
    ref = _mean(u.moments.reference_squared_error, v.moments.reference_squared_error, area)
    persistence = None
    if u.persistence is not None and v.persistence is not None:
        require_same_area(u.moments, u.persistence, "the forecast", "persistence")
        persistence = _mean(u.persistence.squared_error, v.persistence.squared_error, area)
    mse = rmse**2
    return WindMetrics(
        mse=mse,
        rmse=rmse,
        coverage=min(area / u.moments.area, 1.0),
        rmse_clim=_root(clim),
        rmse_ref=_root(ref),
        rmse_persistence=_root(persistence),
        skill_clim=skill(mse, clim),
        skill_ref=skill(mse, ref),
        skill_persistence=skill(mse, persistence),
    )


def _mean(u: float | None, v: float | None, area: float) -> float | None:
    return None if u is None or v is None else (u + v) / area


def _root(mse: float | None) -> float | None:
    return None if mse is None else math.sqrt(mse)
