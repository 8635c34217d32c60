"""Spherical harmonics at triangular truncation: transforms, derivatives, and conversion to latitude-longitude grids.

Owns the mathematics of fields on the sphere, and nothing of the weather. Must never read files or know of forecasts.

A real field is `f(longitude, mu) = sum over m, n of f_n^m P_n^m(mu) exp(i m longitude)`, where `mu` is the sine of
latitude. Only m >= 0 is stored: coefficients are complex128 arrays of shape (..., T + 1, T + 1), indexed [m, n], zero
where n < m. The harmonics have mean square 1 over the sphere. So [0, 0] is the global mean, and
mean(f^2) = sum_n |f_n^0|^2 + 2 sum_{m>0} |f_n^m|^2.

Sources: Hoskins & Simmons (1975), Q. J. R. Meteorol. Soc. 101, 637-655, for the method; Belousov (1962), Tables of
Normalized Associated Legendre Polynomials, for the recurrences.
"""

from __future__ import annotations

from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from gaia.contracts.errors import ValidatorFault

EARTH_RADIUS_M = 6.371e6
EARTH_ROTATION_PER_S = 7.292e-5

FloatArray = NDArray[np.float64]
Coefficients = NDArray[np.complex128]

_POLE_OFFSET_DEG = 1e-4
"""Winds at a pole are computed this far (11 m) from it, where all components are finite and equal to the limit."""


class UnresolvedGrid(ValidatorFault):
    """A latitude-longitude grid is too coarse for a truncation, or not global."""


def epsilon(truncation: int) -> FloatArray:
    """sqrt((n^2 - m^2) / (4 n^2 - 1)), indexed [m, n] up to n = T + 2; zero where n <= m."""
    m = np.arange(truncation + 1)[:, None].astype(np.float64)
    n = np.arange(truncation + 3)[None, :].astype(np.float64)
    return np.sqrt(np.maximum(n**2 - m**2, 0.0) / np.abs(4 * n**2 - 1))


def legendre(truncation: int, mu: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Associated Legendre functions P and (1 - mu^2) dP/dmu, each of shape (m, latitude, n).

    They are normalised to mean square 1 over -1..1 (for m = 0; with the factor exp(i m longitude) for every m). The
    three-term recurrence goes upward in n, and is stable for all |mu| <= 1.
    """
    eps = epsilon(truncation)
    p = np.zeros((truncation + 1, mu.size, truncation + 2))
    cosine = np.sqrt(np.maximum(1.0 - mu**2, 0.0))
    p[0, :, 0] = 1.0
    for n in range(1, truncation + 2):
        if n <= truncation:
            p[n, :, n] = np.sqrt((2 * n + 1) / (2 * n)) * cosine * p[n - 1, :, n - 1]
        orders = slice(0, min(n, truncation + 1))
        below = eps[orders, n - 1, None] * p[orders, :, n - 2] if n >= 2 else 0.0
        p[orders, :, n] = (mu * p[orders, :, n - 1] - below) / eps[orders, n, None]
    degree = np.arange(truncation + 1)
    derivative = np.zeros((truncation + 1, mu.size, truncation + 1))
    derivative[:, :, 1:] = ((degree[1:] + 1) * eps[:, 1 : truncation + 1])[:, None, :] * p[:, :, :truncation]
    derivative -= (degree * eps[:, 1 : truncation + 2])[:, None, :] * p[:, :, 1 : truncation + 2]
    triangle = degree[None, :] >= degree[:, None]
    return p[:, :, : truncation + 1] * triangle[:, None, :], derivative * triangle[:, None, :]


def laplacian_eigenvalues(truncation: int) -> FloatArray:
    """-n (n + 1) / a^2 in m^-2, shape (n,). Coefficients times these are the coefficients of the Laplacian."""
    n = np.arange(truncation + 1, dtype=np.float64)
    return -n * (n + 1) / EARTH_RADIUS_M**2


def with_truncation(coefficients: Coefficients, truncation: int) -> Coefficients:
    """Cut to a lower truncation, or pad to a higher one with zeros."""
    keep = min(truncation + 1, coefficients.shape[-1])
    out = np.zeros((*coefficients.shape[:-2], truncation + 1, truncation + 1), np.complex128)
    out[..., :keep, :keep] = coefficients[..., :keep, :keep]
    return out


def power_by_degree(coefficients: Coefficients) -> FloatArray:
    """The mean square of a field in each total wavenumber n, shape (..., n). The sum is the field's mean square."""
    power = np.abs(coefficients) ** 2
    power[..., 1:, :] *= 2.0
    return np.asarray(power.sum(axis=-2))


def per_zonal_wavenumber(matrices: FloatArray, coefficients: Coefficients) -> Coefficients:
    """Apply an operator that mixes only degrees: matrices (m, k, n) on coefficients (..., m, n) give (..., m, k)."""
    stacked = coefficients.reshape(-1, *coefficients.shape[-2:])
    return _project(matrices, stacked.transpose(0, 2, 1)).reshape(*coefficients.shape[:-1], matrices.shape[1])


def _columns(coefficients: NDArray[np.complex128]) -> FloatArray:
    """Coefficients (k, m, n) as real columns (m, n, 2 k), so that a real basis needs only one real matrix product."""
    return np.ascontiguousarray(coefficients.transpose(1, 2, 0)).view(np.float64)


def _synthesize(basis: FloatArray, coefficients: Coefficients) -> NDArray[np.complex128]:
    """Legendre sums: (m, latitude, n) x (k, m, n) -> Fourier coefficients (k, latitude, m)."""
    product: NDArray[np.complex128] = np.matmul(basis, _columns(coefficients)).view(np.complex128)
    return product.transpose(2, 1, 0)


def _project(basis: FloatArray, fourier: NDArray[np.complex128]) -> Coefficients:
    """Legendre quadrature: (m, n, latitude) x (k, latitude, m) -> coefficients (k, m, n)."""
    columns = _columns(fourier.transpose(0, 2, 1))
    return np.ascontiguousarray(np.matmul(basis, columns).view(np.complex128).transpose(2, 0, 1))


class GaussianGrid:
    """Transforms on the Gaussian grid, where products of two fields are exact: 128 x 64 points for T42.

    Latitudes run north to south. `gaussian_grid` keeps one for each truncation, because to make the matrices takes tens
    of milliseconds.
    """

    def __init__(self, truncation: int) -> None:
        self.truncation = truncation
        latitudes = (3 * truncation + 2) // 2  # exact quadrature of a Jacobian times a harmonic: degree 3 T - 1
        self.shape = (latitudes + latitudes % 2, _fast_length(3 * truncation + 1))
        nodes, weights = np.polynomial.legendre.leggauss(self.shape[0])
        self.mu: FloatArray = nodes[::-1].copy()
        self.area_weight: FloatArray = weights[::-1] / 2
        self.legendre, self.legendre_derivative = legendre(truncation, self.mu)
        self._quadrature = np.ascontiguousarray((self.legendre * self.area_weight[:, None]).transpose(0, 2, 1))
        cosine_squared = (1.0 - self.mu**2)[:, None]
        self._derivative_over_cosine2 = self.legendre_derivative / cosine_squared
        self._zonal_factor = 1j * np.arange(truncation + 1)[:, None, None]

    @property
    def latitude_deg(self) -> FloatArray:
        return np.asarray(np.rad2deg(np.arcsin(self.mu)), np.float64)

    @property
    def longitude_deg(self) -> FloatArray:
        return np.arange(self.shape[1], dtype=np.float64) * (360.0 / self.shape[1])

    def to_grid(self, coefficients: Coefficients) -> FloatArray:
        """Coefficients (..., m, n) -> field (..., latitude, longitude)."""
        stacked = coefficients.reshape(-1, *coefficients.shape[-2:])
        grid = np.fft.irfft(_synthesize(self.legendre, stacked), n=self.shape[1], axis=-1, norm="forward")
        return np.asarray(grid.reshape(*coefficients.shape[:-2], *self.shape), np.float64)

    def to_spectral(self, field: FloatArray) -> Coefficients:
        """Field (..., latitude, longitude) -> coefficients (..., m, n). Exact for fields within the truncation."""
        stacked = field.reshape(-1, *self.shape)
        fourier = np.fft.rfft(stacked, axis=-1, norm="forward")[..., : self.truncation + 1]
        coefficients = _project(self._quadrature, fourier)
        return coefficients.reshape(*field.shape[:-2], *coefficients.shape[-2:])

    def jacobian(self, a: Coefficients, b: Coefficients) -> Coefficients:
        """J(a, b) = (da/dx db/dy - da/dy db/dx) of two fields (k, m, n), in spectral form, free of aliasing."""
        count = a.shape[0]
        columns = _columns(np.concatenate([a, b]))
        zonal = np.matmul(self.legendre, columns).view(np.complex128) * self._zonal_factor
        meridional = np.matmul(self._derivative_over_cosine2, columns).view(np.complex128)
        fourier = np.ascontiguousarray(np.concatenate([zonal, meridional], axis=2).transpose(2, 1, 0))
        grid = np.fft.irfft(fourier, n=self.shape[1], axis=-1, norm="forward")
        a_x, b_x, a_y, b_y = (grid[i * count : (i + 1) * count] for i in range(4))
        product = a_x * b_y
        product -= a_y * b_x
        return self.to_spectral(product) / EARTH_RADIUS_M**2


def _fast_length(minimum: int) -> int:
    """The least even 2^a 3^b 5^c not below `minimum`. Fourier transforms of such lengths are fast."""
    length = minimum + minimum % 2
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 2


@lru_cache(maxsize=8)
def gaussian_grid(truncation: int) -> GaussianGrid:
    """The shared, read-only transforms of a truncation."""
    return GaussianGrid(truncation)


def require_resolved(shape: tuple[int, int], truncation: int) -> None:
    """Raise UnresolvedGrid unless a grid of this shape determines every harmonic of `truncation`."""
    least = (truncation + 2, 2 * truncation + 1)
    if shape[0] < least[0] or shape[1] < least[1]:
        raise UnresolvedGrid(
            f"a {shape[0]} x {shape[1]} grid does not resolve T{truncation}, which needs at least "
            f"{least[0]} x {least[1]} points: take a finer grid or a lower truncation"
        )


class LatLonGrid:
    """Transforms to and from any global regular latitude-longitude grid, with or without poles."""

    def __init__(self, latitude_deg: FloatArray, longitude_deg: FloatArray, truncation: int) -> None:
        """In degrees. Longitudes must be evenly spaced around the whole circle. Raises UnresolvedGrid."""
        self.truncation = truncation
        self.shape = (latitude_deg.size, longitude_deg.size)
        self._require_global_circle(longitude_deg)
        self.latitude_deg = np.asarray(latitude_deg, np.float64)
        latitude = np.deg2rad(self.latitude_deg)
        self.legendre, _ = legendre(truncation, np.sin(latitude))
        angle = np.deg2rad(longitude_deg)[None, :] * np.arange(truncation + 1)[:, None]
        factor = np.where(np.arange(truncation + 1) == 0, 1.0, 2.0)[:, None]
        self._cosine, self._sine = factor * np.cos(angle), -factor * np.sin(angle)
        self._waves = np.exp(-1j * angle.T) / self.shape[1]

    def _require_global_circle(self, longitude_deg: FloatArray) -> None:
        expected = longitude_deg[0] + np.arange(longitude_deg.size) * (360.0 / longitude_deg.size)
        backward = longitude_deg[0] - np.arange(longitude_deg.size) * (360.0 / longitude_deg.size)
        if not (np.allclose(longitude_deg, expected, atol=1e-3) or np.allclose(longitude_deg, backward, atol=1e-3)):
            raise UnresolvedGrid("longitudes must be evenly spaced around the whole circle; give a global grid")

    def to_grid(self, coefficients: Coefficients) -> FloatArray:
        """Coefficients (..., m, n) -> field (..., latitude, longitude)."""
        return self._sum(self.legendre, coefficients)

    def _sum(self, basis: FloatArray, coefficients: Coefficients) -> FloatArray:
        stacked = coefficients.reshape(-1, *coefficients.shape[-2:])
        fourier = _synthesize(basis, stacked)
        grid = fourier.real @ self._cosine + fourier.imag @ self._sine
        return np.asarray(grid.reshape(*coefficients.shape[:-2], *self.shape), np.float64)

    def wind(self, streamfunction: Coefficients) -> tuple[FloatArray, FloatArray]:
        """The rotational wind (u eastward, v northward), m s-1, of a streamfunction in m2 s-1; (..., lat, lon) each."""
        eastward, northward = self._wind_bases
        zonal = 1j * np.arange(self.truncation + 1)[:, None]
        return self._sum(eastward, streamfunction), self._sum(northward, streamfunction * zonal)

    @cached_property
    def _wind_bases(self) -> tuple[FloatArray, FloatArray]:
        """-dP/dlatitude / a, and P / (a cos latitude)."""
        inside = np.clip(self.latitude_deg, -90 + _POLE_OFFSET_DEG, 90 - _POLE_OFFSET_DEG)
        latitude = np.deg2rad(inside)
        value, derivative = legendre(self.truncation, np.sin(latitude))
        scale = 1.0 / (EARTH_RADIUS_M * np.cos(latitude))[None, :, None]
        return -derivative * scale, value * scale

    def to_spectral(self, field: FloatArray) -> Coefficients:
        """Field (..., latitude, longitude) -> coefficients (..., m, n), by an area-weighted least-squares fit.

        Raises UnresolvedGrid.
        """
        require_resolved(self.shape, self.truncation)
        stacked = np.asarray(field, np.float64).reshape(-1, *self.shape)
        coefficients = _project(self._least_squares, stacked @ self._waves)
        return coefficients.reshape(*field.shape[:-2], *coefficients.shape[-2:])

    @cached_property
    def _least_squares(self) -> FloatArray:
        """Solved normal equations of each zonal wavenumber, (m, n, latitude). A pole's zero weight does no harm."""
        weighted = (self.legendre * np.cos(np.deg2rad(self.latitude_deg))[:, None]).transpose(0, 2, 1)
        gram = weighted @ self.legendre
        n = np.arange(self.truncation + 1)
        gram[:, n, n] += n[None, :] < n[:, None]  # rows with n < m are zero; this keeps the matrices invertible
        return np.asarray(np.linalg.solve(gram, weighted), np.float64)
