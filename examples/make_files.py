"""Makes the files that the examples score: a forecast of two days, the truth, and the climatology.

    python examples/make_files.py [FOLDER]

The weather is a train of waves that moves east, on top of a mean that depends on the latitude alone. The forecast is
half a degree too warm and moves the waves too slowly, so its error grows with the lead. The files lie in this folder
already.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

START = np.datetime64("2020-01-15T12", "ns")
LEAD_H = np.array([12, 24, 36, 48], np.int32)
LATITUDE = np.linspace(90.0, -90.0, 19, dtype=np.float32)
LONGITUDE = np.linspace(0.0, 350.0, 36, dtype=np.float32)
RAISED_BY_WARMTH = 287.05 * np.log(2.0)
"""By how much 1 K of warmth below raises the geopotential of 500 hPa, in m2 s-2: R ln(1000 / 500)."""
AXES = ("lead_time", "latitude", "longitude")


def weather(degrees_a_day: float, *, amplitude: float = 1.0, too_warm_k: float = 0.0) -> xr.Dataset:
    """Temperature at 2 m and geopotential at 500 hPa; the waves move by so many degrees of longitude a day."""
    lead_h, south_north, west_east = np.meshgrid(LEAD_H, np.deg2rad(LATITUDE), np.deg2rad(LONGITUDE), indexing="ij")
    moved = np.deg2rad(degrees_a_day) * lead_h / 24.0
    waves = amplitude * np.sin(2.0 * south_north) ** 2 * np.cos(5.0 * (west_east - moved))
    warmth = np.cos(south_north)
    return xr.Dataset(
        {
            "2t": _field(250.0 + 50.0 * warmth + 5.0 * waves + too_warm_k, "K"),
            "z500": _field(
                9.80665 * (5000.0 + 800.0 * warmth + 150.0 * waves) + RAISED_BY_WARMTH * too_warm_k, "m2 s-2"
            ),
        },
        {"lead_time": ("lead_time", LEAD_H, {"units": "hours"}), "latitude": LATITUDE, "longitude": LONGITUDE},
    )


def files() -> dict[str, xr.Dataset]:
    """Each file's contents, by its name."""
    truth = weather(10.0).rename(lead_time="time").assign_coords(time=START + LEAD_H.astype("m8[h]"))
    return {
        "forecast.nc": weather(8.0, too_warm_k=0.5).assign_attrs(init_time="2020-01-15T12:00:00Z"),
        "truth.nc": truth,
        "climatology.nc": weather(0.0, amplitude=0.0).isel(lead_time=0, drop=True),
    }


def main(folder: Path) -> None:
    """Write all files as classic NetCDF, whose headers are small."""
    for name, dataset in files().items():
        no_fill = {variable: {"_FillValue": None} for variable in dataset}
        dataset.to_netcdf(folder / name, format="NETCDF3_CLASSIC", encoding=no_fill)


def _field(values: NDArray[np.float64], unit: str) -> tuple[tuple[str, ...], NDArray[np.float32], dict[str, str]]:
    return AXES, values.astype(np.float32), {"units": unit}


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
