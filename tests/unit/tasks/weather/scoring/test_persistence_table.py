"""Real analyses through the kernel: the persistence errors that the data's own manifest lists."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import eccodes
import numpy as np
import pytest

from gaia.tasks.defined_tasks.weather.scoring.area_weighting import AreaWeighting
from gaia.tasks.defined_tasks.weather.scoring.grid import Grid
from gaia.tasks.defined_tasks.weather.scoring.metrics import metrics_of
from gaia.tasks.defined_tasks.weather.scoring.moments import Field, field_moments
from gaia.tasks.defined_tasks.weather.variables import STANDARD_GRAVITY
from tests.support.real_data import ERA5_GRIB, REAL_DATA, needs_real_data

pytestmark = [needs_real_data, pytest.mark.real_data]

_ECMWF = REAL_DATA / "ecmwf" / "hres_ztruv_6lev_10deg_20240603T00-0604T12_step0-6.grib"


def _analyses(path: Path, name: str, level_hpa: int) -> tuple[Grid, dict[datetime, Field]]:
    """The step-0 fields of member 0, by time, read with ecCodes itself."""
    fields: dict[datetime, Field] = {}
    grid = None
    with path.open("rb") as file:
        while (message := eccodes.codes_grib_new_from_file(file)) is not None:
            wanted = {"shortName": name, "level": level_hpa, "step": 0, "number": 0}
            if all(
                eccodes.codes_get(message, key, type(value)) == value
                for key, value in wanted.items()
                if eccodes.codes_is_defined(message, key)
            ):
                shape = eccodes.codes_get(message, "Nj"), eccodes.codes_get(message, "Ni")
                when = f"{eccodes.codes_get(message, 'dataDate')}{eccodes.codes_get(message, 'dataTime'):04d}"
                values = eccodes.codes_get_values(message).reshape(shape)
                fields[datetime.strptime(when + "+0000", "%Y%m%d%H%M%z")] = values.astype(np.float32)
                grid = Grid.of(
                    eccodes.codes_get_array(message, "distinctLatitudes"),
                    eccodes.codes_get_array(message, "distinctLongitudes"),
                )
            eccodes.codes_release(message)
    assert grid is not None
    return grid, fields


def _persistence_rmse(path: Path, name: str, level_hpa: int, weighting: AreaWeighting) -> list[float]:
    """RMSE of the first analysis against those 12, 24 and 36 h later."""
    grid, analyses = _analyses(path, name, level_hpa)
    start = min(analyses)
    return [
        metrics_of(
            field_moments(
                forecast=analyses[start],
                truth=analyses[start + timedelta(hours=lead_h)],
                area_weights=grid.area_weights(weighting),
            )
        ).rmse
        for lead_h in (12, 24, 36)
    ]


@pytest.mark.parametrize("weighting", list(AreaWeighting))
@pytest.mark.parametrize(
    ("name", "level_hpa", "expected"),
    [
        ("z", 500, [39.1, 63.2, 76.5]),
        ("z", 850, [28.0, 44.8, 54.8]),
        ("t", 500, [2.29, 3.37, 3.87]),
        ("t", 850, [2.28, 2.94, 3.50]),
    ],
)
def test_era5_persistence_errors(name: str, level_hpa: int, expected: list[float], weighting: AreaWeighting) -> None:
    # gpm to 0.1 and K to 0.01 in the table; half of the last digit, and what the weightings differ by.
    unit, tolerance = (STANDARD_GRAVITY, 0.06) if name == "z" else (1.0, 0.006)
    rmse = [value / unit for value in _persistence_rmse(ERA5_GRIB, name, level_hpa, weighting)]
    assert rmse == pytest.approx(expected, abs=tolerance)


def test_ecmwf_persistence_errors_at_ten_degrees() -> None:
    # The table's numbers are cosine-weighted here; on a grid as coarse as this, exact cells differ by 0.06 gpm.
    rmse = [value / STANDARD_GRAVITY for value in _persistence_rmse(_ECMWF, "z", 500, AreaWeighting.COSINE)]
    assert rmse == pytest.approx([27.0, 44.5, 56.9], abs=0.051)
