"""Whether two files lie on the same points, and how to read one in the order of the other.

Allowed because no value changes: latitudes in the other direction, longitudes named -180..180 or 0..360. On request
also the points of a coarser grid out of a finer one. Anything else raises; nothing is interpolated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaia.tasks.defined_tasks.weather.scoring.grid import Grid, GridMismatch
from gaia.tasks.defined_tasks.weather.scoring.moments import Field

_SAME_POINT_DEGREES = 1e-4
"""As far as the scoring grid lets coordinates be off; no grid in use has cells this small."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Points:
    """Which rows and columns of a file make the wanted grid; `change` says it in words, None: as they are."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    change: str | None

    def of(self, field: Field) -> Field:
        """The field on the wanted grid."""
        return field if self.change is None else np.ascontiguousarray(field[np.ix_(self.rows, self.columns)])


def points_of(there: Grid, wanted: Grid, what: str, *, pick: bool = False) -> Points:
    """Where in `there` the points of `wanted` are. Raises GridMismatch naming `what` and both grids.

    pick: whether `there` may have more points than are wanted.
    """
    rows = _indices(there.latitude, wanted.latitude)
    columns = _indices(there.longitude % 360.0, wanted.longitude % 360.0, period=360.0)
    if (rows < 0).any() or (columns < 0).any() or (there.shape != wanted.shape and not pick):
        raise GridMismatch(
            f"{what} lies on {_words(there)}, expected {_words(wanted)}; regrid it first, have all regridded with "
            "--grid, or take the forecast's points out of a finer grid with --pick-points"
        )
    return Points(rows=rows, columns=columns, change=_change(rows, columns, there))


def _change(rows: NDArray[np.intp], columns: NDArray[np.intp], there: Grid) -> str | None:
    if (rows.size, columns.size) != there.shape:
        return f"{rows.size} x {columns.size} of its {there.shape[0]} x {there.shape[1]} points are taken"
    flipped = ["latitudes"] if not (rows == np.arange(rows.size)).all() else []
    flipped += ["longitudes"] if not (columns == np.arange(columns.size)).all() else []
    return f"its {' and '.join(flipped)} are read in the forecast's order" if flipped else None


def _indices(there: NDArray[np.float64], wanted: NDArray[np.float64], period: float | None = None) -> NDArray[np.intp]:
    """Index into `there` of each wanted coordinate, -1 where it is absent."""
    order = np.argsort(there, kind="stable")
    ordered = there[order]
    if period is None:
        near = np.searchsorted(ordered, wanted - _SAME_POINT_DEGREES).clip(max=there.size - 1)
    else:  # 359.99999 is 0
        near = np.searchsorted(ordered, (wanted - _SAME_POINT_DEGREES) % period) % there.size
    gap = np.abs(ordered[near] - wanted)
    if period is not None:
        gap = np.minimum(gap, period - gap)
    return np.where(gap <= _SAME_POINT_DEGREES, order[near], -1)


def _words(grid: Grid) -> str:
    latitude, longitude = grid.latitude, grid.longitude
    return (
        f"{latitude.size} x {longitude.size} points, latitude {latitude[0]:g} to {latitude[-1]:g}, "
        f"longitude {longitude[0]:g} to {longitude[-1]:g}"
    )
