"""Puts a latitude-longitude field on the Equal Earth map: coordinates only, no drawing.

An equal-area map, so that what looks large counts as much in an area-weighted score. B. Savric, T. Patterson,
B. Jenny, "The Equal Earth map projection", Int. J. Geogr. Inf. Sci. 33 (2019), doi
10.1080/13658816.2018.1504949.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

_A1: Final = 1.340264
_A2: Final = -0.081106
_A3: Final = 0.000893
_A4: Final = 0.003796
_HALF_SQRT3: Final = np.sqrt(3.0) / 2.0


@dataclass(frozen=True, kw_only=True)
class MapFrame:
    """How a grid lies on the map."""

    central_longitude: float
    """Degrees east; the map's middle."""
    order: NDArray[np.intp]
    """(nmap,) the grid's columns from west to east; one is at both edges when the grid goes round the
    sphere."""
    longitude: NDArray[np.float64]
    """(nmap,) degrees, relative to the central one, ascending."""
    latitude: NDArray[np.float64]
    """(nlat,) degrees, as in the grid."""

    @property
    def is_global(self) -> bool:
        """Whether the map closes upon itself."""
        return len(self.order) > len(np.unique(self.order))

    def coordinates(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Map x and y of every point, (nlat, nmap) each, in units of the sphere's radius."""
        x, y = equal_earth(self.latitude[:, None], self.longitude[None, :])
        return x, np.broadcast_to(y, x.shape)


def frame_of(latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> MapFrame:
    """Lay a regular grid (degrees) on the map. Greenwich is in the middle if it goes round the sphere.

    >>> frame = frame_of(np.array([90.0, 0.0, -90.0]), np.array([0.0, 90.0, 180.0, 270.0]))
    >>> frame.longitude.tolist(), frame.order.tolist()
    ([-180.0, -90.0, 0.0, 90.0, 180.0], [2, 3, 0, 1, 2])
    """
    step = float(abs(longitude[1] - longitude[0]))
    closes = abs(step * len(longitude) - 360.0) < 1e-6 * step
    centre = 0.0 if closes else float((longitude[0] + longitude[-1]) / 2.0)
    relative = (longitude - centre + 180.0) % 360.0 - 180.0 if closes else longitude - centre
    order = np.argsort(relative, kind="stable")
    relative = relative[order]
    if closes:
        order = np.append(order, order[0])
        relative = np.append(relative, relative[0] + 360.0)
    return MapFrame(central_longitude=centre, order=order, longitude=relative, latitude=latitude)


def equal_earth(latitude: ArrayLike, longitude: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Map x and y, in sphere radii, of points in degrees; longitude relative to the map's middle.

    The whole sphere spans x in +-2.7066 and y in +-1.3174.
    """
    theta = np.arcsin(_HALF_SQRT3 * np.sin(np.radians(np.asarray(latitude, dtype=np.float64))))
    square = theta * theta
    sixth = square**3
    slope = _A1 + 3.0 * _A2 * square + sixth * (7.0 * _A3 + 9.0 * _A4 * square)
    x = np.radians(np.asarray(longitude, dtype=np.float64)) * np.cos(theta) / (_HALF_SQRT3 * slope)
    y = theta * (_A1 + _A2 * square + sixth * (_A3 + _A4 * square))
    return x, y
