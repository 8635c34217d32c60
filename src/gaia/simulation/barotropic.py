"""The barotropic vorticity equation on the sphere: one prognostic field, stepped in spectral space.

    d/dt (lap psi - psi / L^2) = -J(psi, lap psi + f) + forcing

with psi the streamfunction and L the Helmholtz length. The L term is a crude stand-in for divergence. It slows the
largest waves, which would otherwise move westward far too fast (Cressman 1958, Mon. Wea. Rev. 86, 293-297; Wolff 1958).
Owns the dynamics; a `Forcing` from outside drives an embedded world. Must never know of pressure levels, files or
miners.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gaia.contracts.errors import ValidatorFault
from gaia.simulation.spectral import (
    EARTH_ROTATION_PER_S,
    Coefficients,
    FloatArray,
    gaussian_grid,
    laplacian_eigenvalues,
)

_DIFFUSION_REFERENCE_DEGREE = 42 * 43
"""n (n + 1) of T42. Diffusion acts equally on a given wave at any truncation, so T21 has less of it in all."""


class UnstableForecast(ValidatorFault):
    """The model's state is not finite any more. The initial winds are too strong for the time step."""


class Forcing(Protocol):
    """A tendency that drives the flow, in addition to its own advection."""

    def vorticity_tendency(self, streamfunction: Coefficients, vorticity: Coefficients) -> Coefficients:
        """(k, m, n) in s^-2, from the state in m2 s-1 and s-1."""
        ...


@dataclass(frozen=True, kw_only=True)
class Dynamics:
    """The constants of one barotropic model."""

    truncation: int = 42
    helmholtz_length_m: float | None = None
    """None: no divergence term."""
    diffusion_h: float | None = 12.0
    """The e-folding time of the smallest waves of T42 under lap^4 diffusion; None: no diffusion."""
    step_s: float = 3600.0
    """The classical Runge-Kutta scheme is stable up to a phase of 2.8 for each step: 118 m/s at T42."""


class BarotropicModel:
    """Steps streamfunctions (..., m, n) forward in time. Several states are advanced together as one batch."""

    def __init__(self, dynamics: Dynamics, forcing: Forcing | None = None) -> None:
        truncation = dynamics.truncation
        self.dynamics = dynamics
        self._forcing = forcing
        self._grid = gaussian_grid(truncation)
        self._laplacian = laplacian_eigenvalues(truncation)
        self._planetary = planetary_vorticity(truncation)
        self._inverse = self._inverse_helmholtz()
        n = np.arange(truncation + 1)
        self._damping_per_s: FloatArray = np.zeros(truncation + 1)
        if dynamics.diffusion_h is not None:
            self._damping_per_s = (n * (n + 1) / _DIFFUSION_REFERENCE_DEGREE) ** 4 / (3600 * dynamics.diffusion_h)

    def _inverse_helmholtz(self) -> FloatArray:
        length = self.dynamics.helmholtz_length_m
        operator = self._laplacian - (0.0 if length is None else 1.0 / length**2)
        operator[0] = -np.inf  # the global mean of a streamfunction has no meaning and does not change
        return 1.0 / operator

    def tendency(self, streamfunction: Coefficients) -> Coefficients:
        """d psi / dt without diffusion, (k, m, n) in m2 s-2."""
        vorticity = streamfunction * self._laplacian
        rate = -self._grid.jacobian(streamfunction, vorticity + self._planetary)
        if self._forcing is not None:
            rate += self._forcing.vorticity_tendency(streamfunction, vorticity)
        return rate * self._inverse

    def advance(self, streamfunction: Coefficients, duration_s: float) -> Coefficients:
        """The state `duration_s` later, reached in equal steps of at most `step_s`. Raises UnstableForecast."""
        state = streamfunction.reshape(-1, *streamfunction.shape[-2:])
        steps = int(np.ceil(duration_s / self.dynamics.step_s))
        if steps:
            step_s = duration_s / steps
            decay = np.exp(-self._damping_per_s * step_s)
            with np.errstate(over="ignore", invalid="ignore"):  # an instability is reported below, once
                for _ in range(steps):
                    state = self._runge_kutta(state, step_s) * decay
        if not np.isfinite(state).all():
            raise UnstableForecast(
                f"the barotropic forecast over {duration_s / 3600:g} h is not finite: "
                f"check the initial winds, or shorten step_s ({self.dynamics.step_s:g} s)"
            )
        return state.reshape(streamfunction.shape)

    def _runge_kutta(self, state: Coefficients, step_s: float) -> Coefficients:
        first = self.tendency(state)
        second = self.tendency(state + 0.5 * step_s * first)
        third = self.tendency(state + 0.5 * step_s * second)
        fourth = self.tendency(state + step_s * third)
        return state + (step_s / 6) * (first + 2 * second + 2 * third + fourth)


def planetary_vorticity(truncation: int) -> Coefficients:
    """The Coriolis parameter 2 Omega mu in spectral form, s-1: P_1^0 = sqrt(3) mu."""
    field = np.zeros((truncation + 1, truncation + 1), np.complex128)
    field[0, 1] = 2 * EARTH_ROTATION_PER_S / np.sqrt(3.0)
    return field
