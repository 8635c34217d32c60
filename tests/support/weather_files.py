"""Small datasets such as people score: a forecast with starts and leads, the truth at its valid times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

LATITUDE = np.linspace(90.0, -90.0, 7)
LONGITUDE = np.arange(12) * 30.0
WAVE = np.cos(np.deg2rad(LATITUDE))[:, None] * np.cos(np.deg2rad(2 * LONGITUDE))[None, :]
LEVELS = (500, 850)
_USUAL = {"2t": 280.0, "z": {500: 54_000.0, 850: 14_000.0}}
_REACH = {"2t": 10.0, "z": 800.0}


def weather(hour: float, variable: str, level: int | None = None) -> NDArray[np.float32]:
    """(7, 12): what the weather is at an hour after 2020-01-01."""
    usual = _USUAL[variable]
    middle = usual[level or 0] if isinstance(usual, dict) else usual
    return np.asarray(middle + _REACH[variable] * np.roll(WAVE, round(hour) // 12, axis=1), dtype=np.float32)


def truth(hours: Sequence[float] = (0, 12, 24, 36), *, added: float = 0.0) -> xr.Dataset:
    """Analyses of 2t and z on two levels."""
    return xr.Dataset(
        {
            "2t": (("time", "lat", "lon"), np.stack([weather(h, "2t") + np.float32(added) for h in hours])),
            "z": (
                ("time", "level", "lat", "lon"),
                np.stack([[weather(h, "z", level) for level in LEVELS] for h in hours]),
            ),
        },
        {"time": _times(hours), "level": list(LEVELS), "lat": LATITUDE, "lon": LONGITUDE},
    )


def forecast(
    starts: Sequence[float] = (0, 12),
    leads: Sequence[int] = (12, 24),
    *,
    wrong_k: float = 1.0,
    wrong_z: float = 100.0,
) -> xr.Dataset:
    """Under WeatherBench's names: the truth, off by constants."""
    return xr.Dataset(
        {
            "2m_temperature": (
                ("time", "prediction_timedelta", "latitude", "longitude"),
                np.stack([[weather(s + h, "2t") + np.float32(wrong_k) for h in leads] for s in starts]),
            ),
            "geopotential": (
                ("time", "prediction_timedelta", "level", "latitude", "longitude"),
                np.stack(
                    [
                        [[weather(s + h, "z", level) + np.float32(wrong_z) for level in LEVELS] for h in leads]
                        for s in starts
                    ]
                ),
            ),
        },
        {
            "time": _times(starts),
            "prediction_timedelta": np.asarray(leads, dtype="m8[h]").astype("m8[ns]"),
            "level": list(LEVELS),
            "latitude": LATITUDE,
            "longitude": LONGITUDE,
        },
    )


def with_winds(dataset: xr.Dataset, *, added_u: float = 0.0, added_v: float = 0.0) -> xr.Dataset:
    """With u and v on the levels, made of z: a wind that turns with height."""
    height = dataset["z"] if "z" in dataset else dataset["geopotential"]
    u, v = height / 2_000 - 10, 30 - height / 1_000
    return dataset.assign(u=(u + added_u).astype("f4"), v=(v + added_v).astype("f4"))


def write(dataset: xr.Dataset, path: Path, *, zarr_format: int | None = None) -> Path:
    """As NetCDF, or as Zarr of a format, every chunk of it; returns the path."""
    if zarr_format is None:
        dataset.to_netcdf(path)
    elif zarr_format == 2:
        dataset.to_zarr(path, zarr_format=2, consolidated=True, write_empty_chunks=True)
    else:
        dataset.to_zarr(path, zarr_format=3, consolidated=False, write_empty_chunks=True)
    return path


def _times(hours: Sequence[float]) -> NDArray[np.datetime64]:
    return np.datetime64("2020-01-01", "ns") + (np.asarray(hours) * 3600).astype("m8[s]")
