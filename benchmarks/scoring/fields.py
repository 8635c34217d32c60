"""What is scored: real analyses where they are at hand, otherwise something as smooth and as noisy.

Real are ECMWF's temperature at 500 hPa (two analyses, 0.25 degrees) and GFS's geopotential at 500 hPa. More
levels and a forecast are the same field turned about the axis, which keeps every value as it was packed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchmarks.measuring import Size
from gaia.protocol.run_spec import FieldId, GridSpec
from gaia.tasks.defined_tasks.weather.files.grid_axes import coordinates
from gaia.tasks.defined_tasks.weather.files.store.open_store import open_store

REAL_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
_T500 = tuple(REAL_DATA / "ecmwf" / f"t500_0p25_20260310T{hour}_step0.grib2" for hour in ("00", "12"))
_Z500 = REAL_DATA / "gfs" / "z500_f024_0p25_gfs.complex.grib2"

Field = NDArray[np.float32]
Cube = NDArray[np.float32]
"""(level, nlat, nlon)."""


class Sample(Struct, frozen=True, kw_only=True):
    """One variable: (nlat, nlon) of a forecast and of the truth."""

    name: str
    variable: str
    forecast: Field
    truth: Field


def samples(size: Size) -> list[Sample]:
    """Temperature as ECMWF packs it, 12 bits a value, and GFS's height as geopotential, which fills all bits."""
    shape = GridSpec.global_grid(size.degrees).shape
    if all(path.exists() for path in (*_T500, _Z500)) and shape == (721, 1440):
        t00, t12 = (open_store(path).read(FieldId("t", 500)) for path in _T500)
        z = open_store(_Z500).read(FieldId("z", 500))
        origin = "real"
    else:
        t00, t12 = synthetic(shape, seed=1), synthetic(shape, seed=2)
        z = (200.0 * synthetic(shape, seed=3)).astype(np.float32)
        origin = "synthetic"
    return [
        Sample(name=f"t500 {origin}", variable="t", forecast=t00, truth=t12),
        Sample(name=f"z500 {origin}, all bits", variable="z", forecast=z, truth=np.roll(z, 4, axis=1)),
    ]


def synthetic(shape: tuple[int, int], seed: int) -> Field:
    """Temperature in kelvin: warm tropics, three waves, and noise rounded to 1/64 K as packing does."""
    latitude = np.deg2rad(np.linspace(90, -90, shape[0]))[:, None]
    longitude = np.linspace(0, 2 * np.pi, shape[1], endpoint=False)[None, :]
    waves = 8.0 * np.sin(3 * longitude + seed) * np.cos(latitude) ** 2
    noise = np.random.default_rng(seed).normal(0.0, 0.05, shape)
    values = np.round((245.0 + 20.0 * np.cos(latitude) + waves + noise) * 64) / 64
    return np.asarray(values, dtype=np.float32)


def turned(field: Field, count: int) -> Cube:
    """`count` different fields of one statistics, (count, nlat, nlon)."""
    step = max(field.shape[1] // (2 * count), 1)
    cube: Cube = np.stack([np.roll(field, index * step, axis=1) for index in range(count)])
    return cube


def area_weights(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Of the rows of a global grid."""
    from gaia.tasks.defined_tasks.weather.scoring.grid import Grid

    latitude, longitude = coordinates(GridSpec.global_grid(180 / (shape[0] - 1)))
    return Grid.of(latitude, longitude).area_weights()


def levels(count: int) -> Sequence[int]:
    """So many pressure levels, hPa."""
    return range(1, count + 1)
