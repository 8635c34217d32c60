"""Forecasts real weather from one chart: 500 hPa geopotential -> streamfunction -> barotropic forecast -> geopotential.

Owns the constants, which were chosen with real analyses. Must never see the truth of its forecast.

The model forecasts the *change* of the balanced geopotential, which is added to the given chart. So everything that the
model does not represent (the zonal heat of the tropics, waves shorter than the truncation) persists.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gaia.contracts.errors import ValidatorFault
from gaia.simulation.balance import linear_balance
from gaia.simulation.barotropic import BarotropicModel, Dynamics
from gaia.simulation.initial_error import initial_error_field
from gaia.simulation.spectral import FloatArray, LatLonGrid, require_resolved, with_truncation

HELMHOLTZ_LENGTH_M = 2.0e6
"""Among none, 3000, 2000 and 1500 km this was the best for ERA5 z500 of 2017-01-01. `REGULARISATION` was chosen in the
same way. docs/explanation/embedded-world.md has the table."""
REGULARISATION = 0.1


class BadInitialState(ValidatorFault):
    """No forecast can start from the chart."""


def forecast_geopotential(
    phi: NDArray[np.float32],
    latitude_deg: FloatArray,
    longitude_deg: FloatArray,
    lead_h: Sequence[int],
    truncation: int = 42,
    *,
    initial_error: float = 0.0,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Barotropic forecast of the 500 hPa geopotential.

    Args:
        phi: The initial chart, (latitude, longitude) in m2 s-2, on a global regular grid.
        latitude_deg: (latitude,) in degrees.
        longitude_deg: (longitude,) in degrees.
        lead_h: The leads in hours, ascending.
        truncation: The triangular truncation of the model.
        initial_error: The size of a random initial error, see `initial_error.initial_error_field`.
        seed: The seed of that error.

    Returns:
        float32 (lead, latitude, longitude) in m2 s-2.

    Raises:
        BadInitialState: The chart has another shape or is not finite, or the leads do not ascend.
        BadInitialError: `initial_error` is out of range.
        UnresolvedGrid: The grid is too coarse for `truncation`.
        UnstableForecast: The initial winds are too strong.
    """
    _require_chart(phi, latitude_deg, longitude_deg, lead_h)
    require_resolved(phi.shape, truncation + 1)
    grid = LatLonGrid(latitude_deg, longitude_deg, truncation + 1)
    balance = linear_balance(truncation)
    initial = balance.streamfunction(grid.to_spectral(phi.astype(np.float64)), REGULARISATION)
    step_s = Dynamics.step_s * min(1.0, Dynamics.truncation / truncation)
    model = BarotropicModel(Dynamics(truncation=truncation, helmholtz_length_m=HELMHOLTZ_LENGTH_M, step_s=step_s))
    out = np.empty((len(lead_h), *phi.shape), np.float32)
    state, reached_h = initial + with_truncation(initial_error_field(initial_error, seed), truncation), 0
    for index, hours in enumerate(lead_h):
        state = model.advance(state, 3600.0 * (hours - reached_h))
        reached_h = hours
        out[index] = phi + grid.to_grid(balance.geopotential(state - initial))
    return out


def _require_chart(
    phi: NDArray[np.float32], latitude_deg: FloatArray, longitude_deg: FloatArray, lead_h: Sequence[int]
) -> None:
    if phi.ndim != 2 or phi.shape != (latitude_deg.size, longitude_deg.size):
        raise BadInitialState(f"a field of shape {phi.shape} on a {latitude_deg.size} x {longitude_deg.size} grid")
    if not np.isfinite(phi).all():
        raise BadInitialState(f"{int((~np.isfinite(phi)).sum())} points of the initial chart are not finite")
    if list(lead_h) != sorted(set(lead_h)) or (lead_h and lead_h[0] < 0):
        raise BadInitialState(f"leads must ascend from 0 h, got {list(lead_h)}")
