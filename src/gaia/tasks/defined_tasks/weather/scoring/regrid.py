"""First-order conservative regridding between latitude-longitude grids. It happens only on request.

Owns the overlaps of cells. Never fills: a target cell that is not wholly known becomes NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaia.tasks.defined_tasks.weather.scoring.field import Field, require_alike
from gaia.tasks.defined_tasks.weather.scoring.grid import BadGrid, Grid, latitude_edges, longitude_edges

_COVERED = 1e-9
"""Tolerance for rounding: this share of a target cell may lie outside the source."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ConservativeRegridder:
    """Regrids from `source` to `target`: a target cell gets the area mean of the source cells under it.

    The area of a cell is a product of a latitude part and a longitude part, so two small matrices are enough:
    result = rows @ field @ columns.T. Constants and area integrals are kept, to float64 rounding before the result
    becomes float32.

    References:
        Jones 1999, doi:10.1175/1520-0493(1999)127<2204:FASOCR>2.0.CO;2, first order. WeatherBench 2 (Rasp et al. 2024,
        doi:10.1029/2023MS004019), regridding.py of google-research/weatherbench2.
    """

    source: Grid
    target: Grid
    rows: NDArray[np.float64]
    """(target nlat, source nlat): the share of each source row in each target row. The shares of a target row sum to 1.
    """
    columns: NDArray[np.float64]
    """(target nlon, source nlon): the same for columns."""

    @staticmethod
    def between(source: Grid, target: Grid) -> ConservativeRegridder:
        """The regridder from `source` to `target`.

        Raises:
            BadGrid: `source` does not cover every cell of `target`, or one of them is a single row or has uneven
                longitudes (validator's fault).
        """
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
        """The method and the sizes, such as `conservative 721x1440 to 121x240`. Results must carry this name."""
        sizes = ["{}x{}".format(*grid.shape) for grid in (self.source, self.target)]
        return f"conservative {sizes[0]} to {sizes[1]}"

    def regrid(self, field: Field) -> Field:
        """A field on the target grid.

        Args:
            field: float32, of the shape of `source`.

        Returns:
            float32, of the shape of `target`. A target cell becomes NaN if any source cell under it is NaN or infinite,
            because the mean of half a cell is another quantity. (WeatherBench 2 averages the rest.)

        Raises:
            BadField: The field is not float32 (validator's fault).
            GridMismatch: The field has another shape than `source` (validator's fault).
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
    """The same for degrees on a circle: a source cell also overlaps a target cell one or two turns away."""
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
