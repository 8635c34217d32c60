"""Random, balanced disturbances of an initial state, which stand for the errors of an analysis.

Owns their spectrum and their size. Every random number must follow from the given seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gaia.contracts.errors import ValidatorFault
from gaia.simulation.balance import linear_balance
from gaia.simulation.spectral import Coefficients, power_by_degree

SPREAD_M2_S2 = 1000.0
"""Standard deviation of 500 hPa geopotential about its climatology, over the globe and time (102 gpm). Initial errors
are fractions of it. It was measured in the nature run (docs/explanation/embedded-world.md)."""

_TRUNCATION = 42
_LEAST_DEGREE = 4
"""The longest waves get no error: they are well observed, and hardly move, so an error would stay in every chart."""
_ERROR_STREAM = 2
_MOST_ERROR = 10.0


class BadInitialError(ValidatorFault):
    """An initial error is negative or far larger than the spread."""


def initial_error_field(fraction: float, seed: int) -> Coefficients:
    """A random error of the streamfunction, (m, n) at T42, in m2 s-1.

    The balanced 500 hPa geopotential of the error has a root mean square of `fraction` x `SPREAD_M2_S2`. The same seed
    gives the same pattern at every size. Raises BadInitialError.
    """
    if not 0.0 <= fraction <= _MOST_ERROR:
        raise BadInitialError(f"the initial error must be 0 to {_MOST_ERROR:g} of the spread, got {fraction:g}")
    return random_anomaly((seed, _ERROR_STREAM), fraction * SPREAD_M2_S2)


def random_anomaly(seed: Sequence[int], geopotential_rms: float) -> Coefficients:
    """A disturbance (m, n) at T42 with the given root mean square of 500 hPa geopotential, m2 s-2.

    It is Gaussian and homogeneous in streamfunction. Its variance in all orders of degree n falls as n^-4 from n = 4
    on, and its kinetic energy as n^-2. That is flatter than the n^-3 of the flow, because small scales are observed
    worst.
    """
    rng = np.random.default_rng(seed)
    shape = (_TRUNCATION + 1, _TRUNCATION + 1)
    m, n = np.arange(shape[0])[:, None], np.arange(shape[1])[None, :]
    noise = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) * ((n >= m) & (n >= _LEAST_DEGREE))
    noise[0] = noise[0].real * np.sqrt(2.0)  # gives m = 0 the variance that +m and -m together have per order
    anomaly = noise / (np.maximum(n, 1) ** 2 * np.sqrt(2 * n + 1))
    mean_square = power_by_degree(linear_balance(_TRUNCATION).geopotential(anomaly)).sum()
    return np.asarray(anomaly * (geopotential_rms / np.sqrt(mean_square)))
