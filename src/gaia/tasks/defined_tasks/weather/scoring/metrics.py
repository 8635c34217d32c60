"""The metrics that people read (bias, MAE, RMSE, ACC, skill, pattern correlation), made from sums.

Owns the formulas. Never touches an array. A metric that cannot be computed is None, never a number.
"""

from __future__ import annotations

import math

from msgspec import Struct

from gaia.contracts.errors import ValidatorFault
from gaia.tasks.defined_tasks.weather.scoring.moments import Moments


class NothingToScore(ValidatorFault):
    """There is no point, no field or no term from which a score could be made."""


class ComponentMetrics(Struct, frozen=True, kw_only=True):
    """The metrics of one field, or of several merged ones. Errors have the variable's unit. None: not available."""

    bias: float
    """Mean error, forecast - truth; positive: the forecast is too high."""
    mae: float
    """Mean absolute error."""
    mse: float
    """Mean squared error, in the unit squared."""
    rmse: float
    """Root of the mean squared error."""
    coverage: float
    """Share of the area that could be scored, 0 to 1."""
    truth_eddy: float
    """Root-mean-square departure of the truth from its own zonal mean: a scale of how much weather there is."""
    rmse_clim: float | None
    """RMSE of the climatology."""
    rmse_ref: float | None
    """RMSE of the reference forecast."""
    acc: float | None
    """Uncentred anomaly correlation, -1 to 1."""
    skill_clim: float | None
    """1 - MSE / MSE of the climatology."""
    skill_ref: float | None
    """1 - MSE / MSE of the reference."""
    pattern_correlation: float | None
    """Centred correlation of forecast and truth, -1 to 1."""


def metrics_of(moments: Moments) -> ComponentMetrics:
    """All metrics of an aggregate. Roots are taken last, after all fields are merged.

    With d = forecast - truth, and `< >` the area-weighted mean over the points that count:

        bias = <d>    MAE = <|d|>    MSE = <d^2>    RMSE = sqrt(MSE)    skill_x = 1 - MSE / MSE_x

    `anomaly_correlation` and `pattern_correlation` give the formulas of the other two.

    Args:
        moments: From `moments.field_moments`, or several of them merged.

    Raises:
        NothingToScore: No field was added (validator's fault).

    References:
        Wilks, Statistical Methods in the Atmospheric Sciences, 4th ed., chapter 9. WeatherBench 2: Rasp et al. 2024,
        doi:10.1029/2023MS004019.
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
    """Skill against a baseline: 1 - MSE / MSE_baseline.

    Args:
        mse: Mean squared error of the forecast.
        mse_baseline: That of the baseline over the same points, in the same unit. None: there is no baseline.

    Returns:
        1 is perfect, 0 is as good as the baseline, negative is worse. None if there is no baseline or its error is 0.

    References:
        Murphy 1988, doi:10.1175/1520-0493(1988)116<2417:SSBOTM>2.0.CO;2.

    >>> skill(1.0, 4.0)
    0.75
    """
    return None if not mse_baseline else 1.0 - mse / mse_baseline


def anomaly_correlation(moments: Moments) -> float | None:
    """Uncentred anomaly correlation (ACC).

        <a b> / sqrt(<a^2> <b^2>),    a = forecast - climatology,    b = truth - climatology

    Returns:
        -1 to 1; 0 if the forecast equals the climatology everywhere. None if there is no climatology, or if the truth
        equals it everywhere.

    References:
        WeatherBench 2: Rasp et al. 2024, doi:10.1029/2023MS004019. (`comoments.correlation` is the centred form.)
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
    # Roots first: the product of two sums near 1e-200 would be 0 in float64.
    return _unit(product / (math.sqrt(forecast) * math.sqrt(truth)))


def pattern_correlation(moments: Moments) -> float | None:
    """Centred correlation of forecast and truth (Pearson), each about its mean over all points. Needs no climatology.

        <(f - <f>)(t - <t>)> / sqrt(<(f - <f>)^2> <(t - <t>)^2>)

    It is computed from d = f - t: cov(f, t) = var t + cov(t, d), and var f = var t + 2 cov(t, d) + var d.

    Returns:
        -1 to 1; None if either field is constant.

    References:
        Wilks, Statistical Methods in the Atmospheric Sciences, 4th ed., chapter 9.
    """
    truth = moments.truth_variation
    forecast = truth + 2.0 * moments.covariation + moments.error_variation
    if truth <= 0.0 or forecast <= truth * 1e-14:  # below that only rounding is left of the difference
        return None
    return _unit((truth + moments.covariation) / (math.sqrt(truth) * math.sqrt(forecast)))


def skill_against(forecast: Moments, baseline: Moments) -> float | None:
    """Skill against any baseline that was scored on the same points, such as persistence: 1 - MSE / MSE_baseline.

    Returns:
        As `skill`; None if the baseline has no error.

    Raises:
        NothingToScore: The two count different areas, or none (validator's fault).
    """
    require_same_area(forecast, baseline, "the forecast", "the baseline")
    return skill(forecast.squared_error, baseline.squared_error)


def wind_vector_rmse(u: Moments, v: Moments) -> float:
    """Root-mean-square length of the wind's vector error: sqrt(<du^2 + dv^2>), in m/s.

    Args:
        u: The moments of the eastward component.
        v: Those of the northward component, over the same points.

    Raises:
        NothingToScore: The two count different areas, or none (validator's fault).

    References:
        WMO-No. 485, standardized verification of deterministic NWP products: rms vector wind error.
    """
    require_same_area(u, v, "u", "v")
    return math.sqrt((u.squared_error + v.squared_error) / u.finite_area)


def require_same_area(one: Moments, other: Moments, this: str, that: str) -> None:
    """Check that two statistics count the same area, and that it is not 0.

    Equal areas do not prove equal points: the caller must have used the same points for both.

    Raises:
        NothingToScore: The areas differ, or are 0 (validator's fault).
    """
    if one.finite_area <= 0.0 or not math.isclose(one.finite_area, other.finite_area, rel_tol=1e-12):
        raise NothingToScore(
            f"{this} covers {one.finite_area:g} and {that} {other.finite_area:g} of the area; they must be the same"
        )


def _mean(total: float | None, area: float) -> float | None:
    return None if total is None else total / area


def _unit(correlation: float) -> float:
    """A correlation limited to -1 to 1, because rounding may carry it past 1 by 1e-16."""
    return min(max(correlation, -1.0), 1.0)
