"""Makes charts from one streamfunction: the fixed, balanced vertical structure of the embedded world.

Owns the profiles. Every field follows from the flow at 500 hPa alone. Must never step anything in time.

* Geopotential: the US Standard Atmosphere (1976) plus F(p) x the balanced geopotential of the flow, with
  F(p) = A exp(-ln(p / 225 hPa)^2 / (2 ln 2)): 1 at 500 hPa, 1.58 at most, 0.32 at 1000 hPa, 0.31 at 50 hPa. The
  maximum, where temperature does not vary, lies between the levels that are scored.
* Temperature: hydrostatic, T = -(1/R) dz / d ln p. Below 225 hPa lows are cold and highs warm; above, the reverse.
* Wind: F(p) x the rotational wind; at 10 m, 0.75 of the wind at 1000 hPa (friction).
* Humidity: 0.7 (p / 1000 hPa)^2 of saturation (Bolton 1980, Mon. Wea. Rev. 108, eq. 10).
* Sea-level pressure: hydrostatic from the 1000 hPa height. Temperature at 2 m: that of 1000 hPa.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gaia.contracts.errors import ValidatorFault
from gaia.protocol.run_spec import FieldId, GridSpec
from gaia.simulation.balance import linear_balance
from gaia.simulation.nature import TRUNCATION
from gaia.simulation.spectral import Coefficients, FloatArray, LatLonGrid, with_truncation

GAS_CONSTANT = 287.05287
"""J kg-1 K-1, dry air, US Standard Atmosphere 1976."""
GRAVITY = 9.80665
_SURFACE_K, _LAPSE_K_M, _TROPOPAUSE_K = 288.15, 0.0065, 216.65
_SEA_LEVEL_HPA, _TROPOPAUSE_HPA, _TROPOPAUSE_M = 1013.25, 226.3206, 11_000.0

_MAX_WIND_HPA = 225.0
_REFERENCE_HPA = 500.0
_SURFACE_HPA = 1000.0
_FRICTION = 0.75
_RECOVERY_REGULARISATION = 1e-12
"""The balanced geopotential is exact, so its inverse needs damping only against rounding."""


class UnknownField(ValidatorFault):
    """The embedded world does not have a field."""


def amplitude(level_hpa: float) -> float:
    """F(p): the flow at a level as a multiple of that at 500 hPa."""
    distance = np.log(level_hpa / _MAX_WIND_HPA) ** 2 - np.log(_REFERENCE_HPA / _MAX_WIND_HPA) ** 2
    return float(np.exp(-distance / (2 * np.log(2.0))))


def amplitude_slope(level_hpa: float) -> float:
    """dF / d ln p."""
    return -amplitude(level_hpa) * float(np.log(level_hpa / _MAX_WIND_HPA) / np.log(2.0))


def standard_temperature(level_hpa: float) -> float:
    """In kelvin: 6.5 K/km up to 11 km, constant above (in the standard to 20 km, here to the top)."""
    if level_hpa <= _TROPOPAUSE_HPA:
        return _TROPOPAUSE_K
    return float(_SURFACE_K * (level_hpa / _SEA_LEVEL_HPA) ** (GAS_CONSTANT * _LAPSE_K_M / GRAVITY))


def standard_geopotential(level_hpa: float) -> float:
    """In m2 s-2: hydrostatic with `standard_temperature`, 0 at 1013.25 hPa."""
    if level_hpa <= _TROPOPAUSE_HPA:
        above = GAS_CONSTANT * _TROPOPAUSE_K * np.log(_TROPOPAUSE_HPA / level_hpa)
        return float(GRAVITY * _TROPOPAUSE_M + above)
    return GRAVITY / _LAPSE_K_M * (_SURFACE_K - standard_temperature(level_hpa))


def saturation_humidity(temperature: FloatArray, level_hpa: float) -> FloatArray:
    """The specific humidity of saturated air in kg kg-1, from the temperature in kelvin."""
    celsius = temperature - 273.15
    vapour_hpa = np.minimum(6.112 * np.exp(17.67 * celsius / (celsius + 243.5)), 0.5 * level_hpa)
    return 0.622 * vapour_hpa / (level_hpa - 0.378 * vapour_hpa)


class ChartMaker:
    """Makes the fields of a flow on one grid."""

    def __init__(self, grid: GridSpec) -> None:
        self.grid = grid
        self._spectral = LatLonGrid(
            _axis(grid.latitude_first, grid.latitude_step, grid.latitude_count),
            _axis(grid.longitude_first, grid.longitude_step, grid.longitude_count),
            TRUNCATION + 1,
        )
        self._balance = linear_balance(TRUNCATION)

    def charts(self, streamfunction: Coefficients, fields: Sequence[FieldId]) -> NDArray[np.float32]:
        """The fields of a T42 streamfunction (m, n): (field, latitude, longitude) in the variable table's units.

        Raises UnknownField.
        """
        balanced = self._spectral.to_grid(self._balance.geopotential(streamfunction))
        eastward, northward = self._spectral.wind(with_truncation(streamfunction, TRUNCATION + 1))
        flow = {"z": balanced, "u": eastward, "v": northward}
        return np.stack([_chart(field, flow["z"], flow["u"], flow["v"]) for field in fields]).astype(np.float32)

    def streamfunction(self, geopotential: NDArray[np.float32], level_hpa: int) -> Coefficients:
        """The flow (m, n) at T42 of a chart (latitude, longitude) of geopotential in m2 s-2.

        It is exact up to the rounding of the chart. Raises UnresolvedGrid if the grid is too coarse for T43.
        """
        balanced = (geopotential.astype(np.float64) - standard_geopotential(level_hpa)) / amplitude(level_hpa)
        return self._balance.streamfunction(self._spectral.to_spectral(balanced), _RECOVERY_REGULARISATION)


def _axis(first: float, step: float, count: int) -> FloatArray:
    return first + step * np.arange(count, dtype=np.float64)


def _chart(field: FieldId, balanced: FloatArray, eastward: FloatArray, northward: FloatArray) -> FloatArray:
    """One field from the balanced geopotential and the wind at 500 hPa."""
    if field.level_hpa is None:
        return _surface_chart(field, balanced, eastward, northward)
    level = float(field.level_hpa)
    match field.variable:
        case "z":
            return _geopotential(level, balanced)
        case "t":
            return _temperature(level, balanced)
        case "u":
            return amplitude(level) * eastward
        case "v":
            return amplitude(level) * northward
        case "q":
            return 0.7 * (level / 1000.0) ** 2 * saturation_humidity(_temperature(level, balanced), level)
    raise UnknownField(f"the embedded world has no field {field}; on levels it has z, t, u, v and q")


def _surface_chart(field: FieldId, balanced: FloatArray, eastward: FloatArray, northward: FloatArray) -> FloatArray:
    match field.variable:
        case "2t":
            return _temperature(_SURFACE_HPA, balanced)
        case "10u":
            return _FRICTION * amplitude(_SURFACE_HPA) * eastward
        case "10v":
            return _FRICTION * amplitude(_SURFACE_HPA) * northward
        case "msl":
            exponent = _geopotential(_SURFACE_HPA, balanced) / (GAS_CONSTANT * _SURFACE_K)
            return np.asarray(100.0 * _SURFACE_HPA * np.exp(exponent))
    raise UnknownField(f"the embedded world has no surface field {field}; it has 2t, msl, 10u and 10v")


def _geopotential(level_hpa: float, balanced: FloatArray) -> FloatArray:
    return standard_geopotential(level_hpa) + amplitude(level_hpa) * balanced


def _temperature(level_hpa: float, balanced: FloatArray) -> FloatArray:
    return standard_temperature(level_hpa) - amplitude_slope(level_hpa) / GAS_CONSTANT * balanced
