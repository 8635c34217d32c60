"""`--grid`: a file's own grid, and the way from it to the evaluation's by conservative regridding.

Owns the choice of the target grid. The regridding itself is `scoring.regrid`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from gaia.tasks.defined_tasks.weather.files.errors import BadRequest
from gaia.tasks.defined_tasks.weather.files.series.series import called
from gaia.tasks.defined_tasks.weather.scoring.grid import BadGrid, Grid
from gaia.tasks.defined_tasks.weather.scoring.moments import Field
from gaia.tasks.defined_tasks.weather.scoring.regrid import ConservativeRegridder

_FINEST_DEGREES = 0.01
"""Finer than any global archive; without a bound, a slip of the finger asks for terabytes of coordinates."""


class OnGrid(Protocol):
    """Fields of one file."""

    @property
    def name(self) -> str: ...

    @property
    def grid(self) -> Grid: ...


def global_grid(degrees: float) -> Grid:
    """Both poles, south to north, 0 E eastward; 121 x 240 points for 1.5, as WeatherBench evaluates.

    Raises BadRequest unless the poles are a whole number of steps apart, of at least `_FINEST_DEGREES`.
    """
    steps = 180.0 / degrees if _FINEST_DEGREES <= degrees <= 90.0 else 0.5
    if abs(steps - round(steps)) > 1e-9:
        raise BadRequest(
            f"--grid {degrees:g}: the spacing must divide 180 degrees, such as 1.5, and be {_FINEST_DEGREES:g} or more"
        )
    rows = round(steps) + 1
    return Grid.of(np.linspace(-90.0, 90.0, rows), np.arange(2 * round(steps)) * (180.0 / round(steps)))


def regridder_to(target: Grid, series: OnGrid, what: str) -> tuple[Callable[[Field], Field], str]:
    """What regrids the fields of a series, and its name. Raises BadRequest where the series is no whole globe."""
    if series.grid.shape[0] < target.shape[0] or series.grid.shape[1] < target.shape[1]:
        raise BadRequest(
            f"{called(what, series.name)} has {series.grid.shape[0]} x {series.grid.shape[1]} points, fewer than the "
            f"{target.shape[0]} x {target.shape[1]} of --grid; nothing is refined"
        )
    try:
        regridder = ConservativeRegridder.between(series.grid, target)
    except BadGrid as error:
        raise BadRequest(f"{called(what, series.name)} cannot be regridded: {error}") from None
    return regridder.regrid, regridder.name
