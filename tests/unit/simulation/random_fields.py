"""Random spectral fields for property tests."""

from __future__ import annotations

import numpy as np

from gaia.simulation.spectral import Coefficients


def random_coefficients(truncation: int, seed: int, count: int = 1) -> Coefficients:
    """(count, m, n): real fields of zero mean with red spectra and a mean square of order one."""
    rng = np.random.default_rng(seed)
    shape = (count, truncation + 1, truncation + 1)
    m, n = np.arange(truncation + 1)[:, None], np.arange(truncation + 1)[None, :]
    noise = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) * ((n >= m) & (n > 0))
    noise[:, 0] = noise[:, 0].real
    return np.asarray(noise / np.maximum(n, 1) ** 1.5)
