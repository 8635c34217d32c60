"""Small GRIB messages built with ecCodes' own samples, for cases that no real file at hand has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import eccodes
import numpy as np
from numpy.typing import NDArray

LATITUDE_STEP, ROWS, COLUMNS = 30.0, 7, 12
"""30 degrees, both poles: 7 x 12 points."""


def message(values: NDArray[np.float64], *, edition: int = 2, **keys: Any) -> bytes:
    """One message of t at 500 hPa on the 30 degree grid, 2017-01-01T00Z, unless `keys` say otherwise."""
    handle = eccodes.codes_grib_new_from_samples(f"regular_ll_pl_grib{edition}")
    settings: dict[str, Any] = {
        "Ni": COLUMNS,
        "Nj": ROWS,
        "latitudeOfFirstGridPointInDegrees": 90.0,
        "latitudeOfLastGridPointInDegrees": -90.0,
        "longitudeOfFirstGridPointInDegrees": 0.0,
        "longitudeOfLastGridPointInDegrees": 330.0,
        "iDirectionIncrementInDegrees": LATITUDE_STEP,
        "jDirectionIncrementInDegrees": LATITUDE_STEP,
        "dataDate": 20170101,
        "dataTime": 0,
        "shortName": "t",
        "level": 500,
    }
    try:
        for key, value in (settings | {"bitsPerValue": 24} | keys).items():
            eccodes.codes_set(handle, key, value)
        eccodes.codes_set_values(handle, np.asarray(values, dtype=np.float64).ravel())
        encoded: bytes = eccodes.codes_get_message(handle)
    finally:
        eccodes.codes_release(handle)
    return encoded


def write(path: Path, *messages: bytes, tail: bytes = b"") -> Path:
    """A file of messages, one after the other."""
    path.write_bytes(b"".join(messages) + tail)
    return path


def ramp() -> NDArray[np.float64]:
    """(7, 12): whole numbers, exactly packable."""
    return np.arange(ROWS * COLUMNS, dtype=np.float64).reshape(ROWS, COLUMNS)


def sequence(path: Path, hours: Sequence[int], **keys: Any) -> Path:
    """Analyses so many hours after 2017-01-01T00Z, each a constant field of its hour."""
    return write(
        path,
        *(
            message(
                np.full((ROWS, COLUMNS), 250.0 + hour),
                dataDate=20170101 + hour // 24,
                dataTime=hour % 24 * 100,
                **keys,
            )
            for hour in hours
        ),
    )
