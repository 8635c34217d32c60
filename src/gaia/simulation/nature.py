"""The weather of the embedded world: a turbulent barotropic flow that never repeats. The same seed gives the same flow.

Owns the forcing, and the way in which a truth, its climatology and forecasts are made. Every random number must follow
from a seed. Knows nothing of charts, levels or files.

Two terms drive the flow. Each is a function of the state alone. So a forecast from the exact initial state is exact,
and the error of any other forecast grows by the dynamics alone:

* relaxation within `RELAXATION_DAYS` to a westerly jet in each hemisphere, which stands for the sun's heating;
* growth of synoptic waves in middle latitudes, which stands for baroclinic instability. It weakens to nothing as the
  eddies' kinetic energy approaches `EDDY_ENERGY_J_KG`.

The constants were chosen by trial, for a mid-latitude variability like the Earth's: docs/explanation/embedded-world.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gaia.contracts.errors import ValidatorFault
from gaia.simulation.barotropic import BarotropicModel, Dynamics
from gaia.simulation.initial_error import SPREAD_M2_S2, random_anomaly
from gaia.simulation.spectral import (
    EARTH_RADIUS_M,
    Coefficients,
    FloatArray,
    gaussian_grid,
    laplacian_eigenvalues,
    per_zonal_wavenumber,
    with_truncation,
)

TRUNCATION = 42
_DAY_S = 86_400.0

JET_M_S = 30.0
JET_LATITUDE_DEG = 45.0
JET_WIDTH_DEG = 10.0
RELAXATION_DAYS = 5.0

GROWTH_PER_DAY = 4.0
GROWING_DEGREES = (6, 20)
STORM_TRACK_WIDTH_DEG = 16.0
EDDY_ENERGY_J_KG = 75.0
_STRONGEST_DAMPING = -3.0
"""A bound in units of GROWTH_PER_DAY, so that the time step stays stable for a state of absurd energy."""

CLIMATE_TRUNCATION = 31
"""The climatology comes from a cheaper run of the same laws. Its mean agrees with that of T42 to 0.05 of the spread."""
_CLIMATE_STEP_S = 5400.0
_CLIMATE_MEMBERS = 2
_CLIMATE_DAYS = 20
_SPIN_UP_DAYS = 10
_SEPARATION_DAYS = 5
_NOISE_STREAM = 1
"""Makes the seeds of a world's noise differ from those of initial errors."""


class BadHours(ValidatorFault):
    """The hours do not ascend from 0 or later."""


class StormTrackForcing:
    """The forcing at one truncation."""

    def __init__(self, truncation: int) -> None:
        self._laplacian = laplacian_eigenvalues(truncation)
        self._target_vorticity = with_truncation(rest_state(), truncation) * self._laplacian
        self._growth = _growth_matrices(truncation)

    def vorticity_tendency(self, streamfunction: Coefficients, vorticity: Coefficients) -> Coefficients:
        """Relaxation and growth, (k, m, n) in s^-2."""
        relaxation = (self._target_vorticity - vorticity) / (RELAXATION_DAYS * _DAY_S)
        unused = 1.0 - eddy_energy(streamfunction, vorticity) / EDDY_ENERGY_J_KG
        unused = np.maximum(unused, _STRONGEST_DAMPING)
        return relaxation + unused[:, None, None] * per_zonal_wavenumber(self._growth, vorticity)


def eddy_energy(streamfunction: Coefficients, vorticity: Coefficients) -> FloatArray:
    """The mean kinetic energy of zonal wavenumbers 2 and up, -psi vorticity / 2, in J kg-1, shape (k,)."""
    energy = -(streamfunction.conj() * vorticity).real[..., 2:, :]
    return np.asarray(energy.sum(axis=(-2, -1)))  # m > 0 counts twice: 2 x 1/2


def _growth_matrices(truncation: int) -> FloatArray:
    """Growth of GROWING_DEGREES at GROWTH_PER_DAY within the mask of the storm tracks; symmetric, (m, n, n)."""
    grid = gaussian_grid(truncation)
    mask = np.exp(-(((np.abs(grid.latitude_deg) - JET_LATITUDE_DEG) / STORM_TRACK_WIDTH_DEG) ** 2))
    weighted = (grid.legendre * (mask * grid.area_weight)[:, None]).transpose(0, 2, 1)
    n, m = np.arange(truncation + 1), np.arange(truncation + 1)
    growing = (n >= GROWING_DEGREES[0]) & (n <= GROWING_DEGREES[1])
    chosen = (growing[None, :] & (m >= 2)[:, None]).astype(np.float64)
    return (weighted @ grid.legendre) * chosen[:, :, None] * chosen[:, None, :] * (GROWTH_PER_DAY / _DAY_S)


@lru_cache(maxsize=1)
def rest_state() -> Coefficients:
    """The streamfunction at T42 that the flow relaxes to: a zonal jet in each hemisphere."""
    grid = gaussian_grid(TRUNCATION)
    distance = (np.abs(grid.latitude_deg) - JET_LATITUDE_DEG) / JET_WIDTH_DEG
    wind = JET_M_S * np.exp(-(distance**2))
    strips = 0.5 * (wind[1:] + wind[:-1]) * np.diff(np.deg2rad(grid.latitude_deg))
    zonal = -EARTH_RADIUS_M * np.concatenate([[0.0], np.cumsum(strips)])  # u = -d psi / (a d latitude)
    return symmetric_part(grid.to_spectral(np.repeat(zonal[:, None], grid.shape[1], axis=1)))


def symmetric_part(streamfunction: Coefficients) -> Coefficients:
    """The part of a flow (m, n) that is equal at all longitudes and in both hemispheres: m = 0, n odd."""
    out = np.zeros_like(streamfunction)
    out[0, 1::2] = streamfunction[0, 1::2].real
    return out


@lru_cache(maxsize=4)
def nature_model(truncation: int = TRUNCATION) -> BarotropicModel:
    """The laws of the embedded world at a truncation."""
    return BarotropicModel(Dynamics(truncation=truncation), StormTrackForcing(truncation))


@dataclass(frozen=True, kw_only=True)
class NatureRun:
    """A truth and its climatology, as streamfunctions at T42 in m2 s-1."""

    states: Coefficients
    """(time, m, n), one for each requested hour."""
    climatology: Coefficients
    """(m, n): the long-term mean. The world has no seasons and no daily cycle, so it holds for every day and hour."""


def run_nature(seed: int, hours: Sequence[int]) -> NatureRun:
    """The truth at `hours` after its start, which must ascend from 0 or later.

    Two T31 runs start from noise. After a spin-up they give the climatology. The first run then continues at T42 for
    some days, so that the climatology contains nothing of the truth's beginning. Then the truth starts. The forcing is
    equal at all longitudes and in both hemispheres, and so is the true mean; to average over both makes short runs
    sufficient.
    """
    coarse = BarotropicModel(
        Dynamics(truncation=CLIMATE_TRUNCATION, step_s=_CLIMATE_STEP_S), StormTrackForcing(CLIMATE_TRUNCATION)
    )
    noise = [random_anomaly((seed, _NOISE_STREAM, member), SPREAD_M2_S2) for member in range(_CLIMATE_MEMBERS)]
    state = coarse.advance(with_truncation(rest_state() + np.stack(noise), CLIMATE_TRUNCATION), _SPIN_UP_DAYS * _DAY_S)
    total = np.zeros_like(state[0])
    for _ in range(2 * _CLIMATE_DAYS):
        state = coarse.advance(state, 0.5 * _DAY_S)
        total += state.mean(axis=0)
    model = nature_model()
    start = model.advance(with_truncation(state[0], TRUNCATION), _SEPARATION_DAYS * _DAY_S)
    mean = symmetric_part(total / (2 * _CLIMATE_DAYS))
    return NatureRun(states=trajectory(model, start, hours), climatology=with_truncation(mean, TRUNCATION))


def trajectory(model: BarotropicModel, state: Coefficients, hours: Sequence[int]) -> Coefficients:
    """The states (time, m, n) at each of the ascending `hours` after `state`. Raises BadHours, UnstableForecast."""
    require_ascending(hours)
    states, reached_h = [], 0
    for hour in hours:
        state = model.advance(state, 3600.0 * (hour - reached_h))
        states.append(state)
        reached_h = hour
    return np.stack(states)


def require_ascending(hours: Sequence[int]) -> None:
    """Raise BadHours unless the hours ascend from 0 or later."""
    if not hours or list(hours) != sorted(set(hours)) or hours[0] < 0:
        raise BadHours(f"hours must ascend from 0 without repeats, got {list(hours)}")
