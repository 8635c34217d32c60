"""Fields for both sides: float32 for ours, labelled float64 of the same values for the libraries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gaia.tasks.defined_tasks.weather.scoring.field import Field
from gaia.tasks.defined_tasks.weather.scoring.grid import Grid

DIGITS = 1e-10
"""Relative agreement that is asked for."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Three times on a grid of 10 degrees, of one variable. Arrays (time, nlat, nlon); members have one time."""

    name: str
    forecast: NDArray[np.float32]
    truth: NDArray[np.float32]
    climatology: NDArray[np.float32]
    members: NDArray[np.float32]

    @property
    def weights(self) -> NDArray[np.float64]:
        """Of rows."""
        return GRID.area_weights()


GRID = Grid.of(np.linspace(90, -90, 19), np.arange(36) * 10.0)


def _smooth(random: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Waves in both directions with random phases, (count, nlat, nlon), unit size."""
    latitude, longitude = np.deg2rad(GRID.latitude)[:, None], np.deg2rad(GRID.longitude)
    phases = random.uniform(0, 2 * np.pi, (count, 6, 2, 1, 1))
    waves = np.stack([np.sin(k * longitude + phases[:, k, 0]) for k in range(1, 6)], axis=1)
    return np.asarray((waves * np.cos(phases[:, 1:, 1] + 3 * latitude)).sum(axis=1) / 2)


def sample(name: str, mean: float, spread: float, error: float) -> Sample:
    """`truth` is mean + weather of that spread; forecast and members err by `error`."""
    random = np.random.default_rng(57)
    truth = mean + spread * _smooth(random, 3)
    return Sample(
        name=name,
        forecast=(truth + error * (0.3 + _smooth(random, 3))).astype(np.float32),
        truth=truth.astype(np.float32),
        climatology=(mean + 0.3 * spread * _smooth(random, 3)).astype(np.float32),
        members=(truth[0] + error * random.normal(size=(7, *GRID.shape))).astype(np.float32),
    )


SAMPLES = [
    sample("2t in K", 280.0, 12.0, 2.0),
    sample("msl in Pa", 101_325.0, 1200.0, 150.0),
    sample("q near 1e-6", 3e-6, 1e-6, 3e-7),
    sample("z in m2 s-2", 55_000.0, 2500.0, 300.0),
]


def labelled(array: NDArray[np.float32], first: str = "time") -> xr.DataArray:
    """float64 with coordinates; a leading axis is called `first`."""
    dims = ("latitude", "longitude") if array.ndim == 2 else (first, "latitude", "longitude")
    coords = {"latitude": GRID.latitude, "longitude": GRID.longitude}
    return xr.DataArray(array.astype(np.float64), dims=dims, coords=coords)


def labelled_weights(like: xr.DataArray) -> xr.DataArray:
    """Cell areas, spread over all dimensions of `like`."""
    rows = xr.DataArray(GRID.area_weights(), dims="latitude", coords={"latitude": GRID.latitude})
    return rows.broadcast_like(like).transpose(*like.dims)


def row_of(field: Field) -> Field:
    """All points in one row, so that all weigh the same: for functions that know no weights."""
    return field.reshape(1, -1)
