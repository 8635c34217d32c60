"""From sums to the numbers that people read: bias, MAE, RMSE, ACC, skill, pattern correlation.

Owns the formulas. Never touches an array, and never turns a metric that cannot be had into a number: that is
None.
"""

from __future__ import annotations

import math

from msgspec import Struct

from gaia.contracts.errors import ValidatorFault
from gaia.tasks.defined_tasks.weather.scoring.moments import Moments


class NothingToScore(ValidatorFault):
    """No point, no field or no term is there to make a score from."""


class ComponentMetrics(Struct, frozen=True, kw_only=True):
    """One field (or several merged ones) scored. Errors have the variable's unit. None: not available."""

    bias: float
    mae: float
    mse: float
    rmse: float
    coverage: float
    """Share of the area that could be scored, 0 to 1."""
    truth_eddy: float
    """Root-mean-square departure of the truth from its own zonal mean: how much weather there is."""
    rmse_clim: float | None
    rmse_ref: float | None
    acc: float | None
    skill_clim: float | None
    skill_ref: float | None
    pattern_correlation: float | None


def metrics_of(moments: Moments) -> ComponentMetrics:
    """All metrics of one aggregate. Roots are taken last, after all fields are merged.

    bias = <d>, MAE = <|d|>, MSE = <d2>, RMSE = sqrt MSE, <> the area mean over the points that count; skill_x
    = 1 - MSE / MSE_x; ACC and pattern correlation below. Sources: Wilks, Statistical Methods in the
    Atmospheric Sciences, 4th ed., chapter 9; Rasp et al. 2024, doi:10.1029/2023MS004019. Raises
    NothingToScore.
    """
    area = moments.finite_area
    if area <= 0.0:
        raise NothingToScore("no field has been added up yet")
    mse = moments.squared_error / area
    mse_clim = _mean(moments.truth_anomaly_squared, area)
    mse_ref = _mean(moments.reference_squared_error, area)
    return ComponentMetrics(
        bias=moments.error / area,
        mae=moments.absolute_error / area,
        mse=mse,
        rmse=math.sqrt(mse),
        coverage=min(area / moments.area, 1.0),
        truth_eddy=math.sqrt(moments.truth_eddy_variation / area),
        rmse_clim=None if mse_clim is None else math.sqrt(mse_clim),
        rmse_ref=None if mse_ref is None else math.sqrt(mse_ref),
        acc=anomaly_correlation(moments),
        skill_clim=skill(mse, mse_clim),
        skill_ref=skill(mse, mse_ref),
        pattern_correlation=pattern_correlation(moments),
    )


def skill(mse: float, mse_baseline: float | None) -> float | None:
    """1 - MSE / MSE_baseline: 1 is perfect, 0 as good as the baseline. None without one, or with a perfect
    one.

    >>> skill(1.0, 4.0)
    0.75
    """
    return None if not mse_baseline else 1.0 - mse / mse_baseline


def anomaly_correlation(moments: Moments) -> float | None:
    """Uncentred ACC = <a b> / sqrt(<a2> <b2>), -1 to 1; a and b the anomalies of forecast and truth.

    0 for a forecast without any anomaly: it says nothing. None without a climatology, or where the truth
    equals it.
    """
    product, forecast, truth = (
        moments.anomaly_product,
        moments.forecast_anomaly_squared,
        moments.truth_anomaly_squared,
    )
    if product is None or forecast is None or truth is None or truth == 0.0:
        return None
    if forecast == 0.0:
        return 0.0
    # Roots first: the product of two sums near 1e-200 would vanish.
    return _unit(product / (math.sqrt(forecast) * math.sqrt(truth)))


def pattern_correlation(moments: Moments) -> float | None:
    """Centred correlation of forecast and truth, each about its mean over all points; no climatology needed.

    With d = forecast - truth: cov(f, t) = var t + cov(t, d), var f = var t + 2 cov(t, d) + var d. None where
    either field is flat.
    """
    truth = moments.truth_variation
    forecast = truth + 2.0 * moments.covariation + moments.error_variation
    if truth <= 0.0 or forecast <= truth * 1e-14:  # below that only rounding is left of the difference
        return None
    return _unit((truth + moments.covariation) / (math.sqrt(truth) * math.sqrt(forecast)))


def skill_against(forecast: Moments, baseline: Moments) -> float | None:
    """1 - MSE / MSE of any baseline, such as persistence, scored on the same points; None if that is perfect.

    Raises NothingToScore if they do not count the same area.
    """
    require_same_area(forecast, baseline, "the forecast", "the baseline")
    return skill(forecast.squared_error, baseline.squared_error)


def wind_vector_rmse(u: Moments, v: Moments) -> float:
    """sqrt(<du2 + dv2>), m/s: the length of the vector error. Both components must count the same points."""
    require_same_area(u, v, "u", "v")
    return math.sqrt((u.squared_error + v.squared_error) / u.finite_area)


def require_same_area(one: Moments, other: Moments, this: str, that: str) -> None:
    """Raise NothingToScore unless both count the same area, and any at all; they must have the same points."""
    if one.finite_area <= 0.0 or not math.isclose(one.finite_area, other.finite_area, rel_tol=1e-12):
        raise NothingToScore(
            f"{this} covers {one.finite_area:g} and {that} {other.finite_area:g} of the area; they must be the same"
        )


def _mean(total: float | None, area: float) -> float | None:
    return None if total is None else total / area


def _unit(correlation: float) -> float:
    """Rounding may carry a correlation past 1 by 1e-16."""
    return min(max(correlation, -1.0), 1.0)
