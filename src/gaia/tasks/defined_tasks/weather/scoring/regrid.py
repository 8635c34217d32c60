"""First-order conservative regridding between latitude-longitude grids, for who asks for it and by name.

Owns the overlaps of cells. Never runs on its own, never fills: a cell that is not wholly known is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaia.tasks.defined_tasks.weather.scoring.field import Field, require_alike
from gaia.tasks.defined_tasks.weather.scoring.grid import BadGrid, Grid, latitude_edges, longitude_edges

_COVERED = 1e-9
"""A share of a target cell that is nothing: so much of it may lie outside the source."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ConservativeRegridder:
    """From `source` to `target`: a target cell's value is the area mean of the source cells under it.

    On the sphere's cells areas are products of a latitude and a longitude part, so that two small matrices do
    it. Constants stay and area integrals stay, both to float64 rounding before the result becomes float32.
    Sources: Jones 1999, doi:10.1175/1520-0493(1999)127<2204:FASOCR>2.0.CO;2, first order; WeatherBench 2
    (Rasp et al. 2024), regridding.py of google-research/weatherbench2.
    """

    source: Grid
    target: Grid
    rows: NDArray[np.float64]
    """(target nlat, source nlat): shares of each target row, sum 1."""
    columns: NDArray[np.float64]
    """(target nlon, source nlon)."""

    @staticmethod
    def between(source: Grid, target: Grid) -> ConservativeRegridder:
        """Raises BadGrid where `source` does not cover every cell of `target`."""
        sines = [np.sin(np.deg2rad(latitude_edges(grid.latitude))) for grid in (source, target)]
        rows = _overlaps(*map(_intervals, sines))
        columns = _circular_overlaps(longitude_edges(source.longitude), longitude_edges(target.longitude))
        return ConservativeRegridder(
            source=source,
            target=target,
            rows=_shares(rows, np.abs(np.diff(sines[1])), target.latitude, "latitude"),
            columns=_shares(columns, np.abs(np.diff(longitude_edges(target.longitude))), target.longitude, "longitude"),
        )

    @property
    def name(self) -> str:
        """What a result that was made with it must say: `conservative 721x1440 to 121x240`."""
        sizes = ["{}x{}".format(*grid.shape) for grid in (self.source, self.target)]
        return f"conservative {sizes[0]} to {sizes[1]}"

    def regrid(self, field: Field) -> Field:
        """float32 (nlat, nlon) of `source` to that of `target`. Raises BadField and GridMismatch.

        A target cell under which any source cell is not finite becomes NaN: half a cell's mean is another
        quantity than the whole's. (WeatherBench 2 averages what is left.)
        """
        require_alike({"field": field}, self.source.shape)
        finite = np.isfinite(field)
        if finite.all():
            return self._mean(field).astype(np.float32)
        mean = self._mean(np.where(finite, field, 0.0))
        missing = self._mean(~finite)
        return np.where(missing > 0.0, np.nan, mean).astype(np.float32)

    def _mean(self, values: NDArray[Any]) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = self.rows @ values.astype(np.float64) @ self.columns.T
        return mean


def _intervals(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """(cells, 2): each cell's lower and upper bound."""
    bounds: NDArray[np.float64] = np.sort(np.stack([edges[:-1], edges[1:]], axis=1), axis=1)
    return bounds


def _overlaps(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """(target cells, source cells): the length of their intersections."""
    upper = np.minimum(target[:, None, 1], source[None, :, 1])
    lower = np.maximum(target[:, None, 0], source[None, :, 0])
    lengths: NDArray[np.float64] = np.maximum(upper - lower, 0.0)
    return lengths


def _circular_overlaps(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same of degrees on a circle: a source is met as it stands and whole turns away."""
    cells, wanted = _intervals(source), _intervals(target)
    turns = (-720.0, -360.0, 0.0, 360.0, 720.0)
    lengths: NDArray[np.float64] = np.sum([_overlaps(cells + turn, wanted) for turn in turns], axis=0)
    return lengths


def _shares(
    overlaps: NDArray[np.float64], sizes: NDArray[np.float64], centres: NDArray[np.float64], axis: str
) -> NDArray[np.float64]:
    overlaps = np.where(overlaps > _COVERED * sizes[:, None], overlaps, 0.0)  # the rest is rounding of equal edges
    covered = overlaps.sum(axis=1)
    worst = int(np.argmin(covered / sizes))
    if covered[worst] < sizes[worst] * (1.0 - _COVERED):
        raise BadGrid(f"the source does not cover the target's cell at {axis} {centres[worst]:g}; regrid less")
    shares: NDArray[np.float64] = overlaps / covered[:, None]
    return shares
