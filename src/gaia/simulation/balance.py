"""The linear balance between geopotential and streamfunction, div(f grad psi) = lap phi, in spectral space.

Owns the conversion between pressure charts and winds. Must never step anything forward in time.

From streamfunction to geopotential it is exact. The inverse is singular at the equator, where the mass field does not
determine the wind, so it is the Tikhonov-regularised least-squares solution. Sources: Eliassen & Machenhauer (1965),
Tellus 17, 220-238; Daley (1991), Atmospheric Data Analysis, section 7.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from gaia.simulation.spectral import EARTH_ROTATION_PER_S, Coefficients, FloatArray, epsilon, per_zonal_wavenumber


class LinearBalance:
    """Maps streamfunction coefficients at T to geopotential at T + 1, so that nothing is lost, and back."""

    def __init__(self, truncation: int) -> None:
        self.truncation = truncation
        self._upward = _balance_matrices(truncation)

    def geopotential(self, streamfunction: Coefficients) -> Coefficients:
        """phi in m2 s-2, (..., T + 2, T + 2), from psi in m2 s-1, (..., T + 1, T + 1). The global mean of phi is 0."""
        out = np.zeros((*streamfunction.shape[:-2], self.truncation + 2, self.truncation + 2), np.complex128)
        out[..., :-1, :] = per_zonal_wavenumber(self._upward, streamfunction)
        return out

    def streamfunction(self, geopotential: Coefficients, regularisation: float) -> Coefficients:
        """psi in m2 s-1 from phi in m2 s-2 given at T + 1.

        Minimises |balance(psi) - phi|^2 + regularisation (2 Omega)^2 |psi|^2. So the balance decides where
        sin(latitude)^2 is well above `regularisation`; 0.1 corresponds to 18 degrees.
        """
        inverse = _regularised_inverse(self.truncation, regularisation)
        return per_zonal_wavenumber(inverse, geopotential[..., :-1, :])


@lru_cache(maxsize=8)
def linear_balance(truncation: int) -> LinearBalance:
    """The shared, read-only balance of a truncation."""
    return LinearBalance(truncation)


@lru_cache(maxsize=8)
def _balance_matrices(truncation: int) -> FloatArray:
    """(m, k, n): phi_k = 2 Omega [eps_k (k - 1) / k psi_{k-1} + eps_{k+1} (k + 2) / (k + 1) psi_{k+1}]."""
    eps = epsilon(truncation)
    matrices = np.zeros((truncation + 1, truncation + 2, truncation + 1))
    for m in range(truncation + 1):
        for k in range(max(m, 1), truncation + 2):
            if k - 1 >= max(m, 1):
                matrices[m, k, k - 1] = eps[m, k] * (k - 1) / k
            if k + 1 <= truncation:
                matrices[m, k, k + 1] = eps[m, k + 1] * (k + 2) / (k + 1)
    return matrices * (2 * EARTH_ROTATION_PER_S)


@lru_cache(maxsize=8)
def _regularised_inverse(truncation: int, regularisation: float) -> FloatArray:
    """(m, n, k). Coefficients that the balance does not determine (n < m, and the mean) become 0."""
    upward = _balance_matrices(truncation)
    downward = upward.transpose(0, 2, 1)
    gram = downward @ upward
    n = np.arange(truncation + 1)
    gram[:, n, n] += regularisation * (2 * EARTH_ROTATION_PER_S) ** 2
    unreached = (n[None, :] < n[:, None]) | (n[None, :] == 0)
    gram[:, n, n] += np.where(unreached, 1.0, 0.0)
    return np.asarray(np.linalg.solve(gram, downward), np.float64)
