"""Whether two forecasts are one: the distance of fields, and a cheap lower bound to spare most comparisons.

Owns the measure. Never decides who copied whom, and never touches a threshold: those are data, in `policy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gaia.tasks.defined_tasks.weather.policy.policy import FieldT, ScoringPolicy
from gaia.tasks.defined_tasks.weather.scoring.moments import Field, field_moments

_BANDS, _SECTORS = 60, 36
"""Blocks that a sketch averages over: 3 degrees of latitude by 10 of longitude, so that weather systems remain."""


def distance(first: Field, second: Field, area_weights: NDArray[np.float64]) -> float:
    """The mean squared difference of two fields, float32 (nlat, nlon), in the variable's unit squared."""
    moments = field_moments(forecast=first, truth=second, area_weights=area_weights)
    return moments.squared_error / moments.finite_area


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """A grid cut into at most 60 x 36 blocks of neighbouring rows and columns."""

    row_weights: NDArray[np.float64]
    """(nlat,) area weights."""
    row_starts: NDArray[np.intp]
    column_starts: NDArray[np.intp]
    areas: NDArray[np.float64]
    """(blocks,) sums to 1, as the rows' weights do."""

    @classmethod
    def of(cls, area_weights: NDArray[np.float64], longitude_count: int) -> Self:
        """The blocks of a grid with these area weights, (nlat,), that sum to 1."""
        rows, columns = _starts(area_weights.size, _BANDS), _starts(longitude_count, _SECTORS)
        widths = np.diff(np.append(columns, longitude_count)) / longitude_count
        bands = np.add.reduceat(area_weights, rows)
        return cls(
            row_weights=area_weights,
            row_starts=rows,
            column_starts=columns,
            areas=np.outer(bands, widths).ravel(),
        )

    def sketch(self, field: Field) -> NDArray[np.float64]:
        """A field's area-weighted means over the blocks: float64 (blocks,), small. A block without area has 0."""
        columns = np.add.reduceat(field, self.column_starts, axis=1, dtype=np.float64)
        sums = np.add.reduceat(columns * self.row_weights[:, None], self.row_starts, axis=0).ravel() / field.shape[1]
        means = np.divide(sums, self.areas, out=np.zeros_like(sums), where=self.areas > 0.0)
        return np.asarray(means, dtype=np.float64)

    def least_distances(self, first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
        """Lower bounds of `distance` from sketches, along their last axis: a block's squared mean is at most its mean
        square. Where one of them has a gap nothing is known, and the block adds nothing.
        """
        return np.asarray(np.nan_to_num((first - second) ** 2) @ self.areas, dtype=np.float64)


def are_clones(distances: Mapping[FieldT, float], policy: ScoringPolicy, lead_h: int = 0) -> bool | None:
    """Whether the distance at a lead is below the threshold in the policy's share of gate fields; None: there is none.

    Falling distances never make a clone two, so lower bounds of distances may rule clones out.
    """
    gate_fields = policy.gate_fields(tuple(distances))
    if not gate_fields:
        return None
    near = sum(1 for f in gate_fields if distances[f] < (policy.clone_threshold(f, lead_h) or 0.0))
    return near >= policy.clone_agreement * len(gate_fields)


def has_faded(from_climatology: float, scored: FieldT, policy: ScoringPolicy, lead_h: int = 0) -> bool:
    """Whether a field of a forecast, at this `distance` from the climatology, tells nothing of whose it is.

    It is then hardly more than the climatology, which is nobody's and where all who fade with the lead time meet.
    """
    return from_climatology < policy.clone_faded * (policy.clone_threshold(scored, lead_h) or 0.0)


def _starts(count: int, most: int) -> NDArray[np.intp]:
    blocks = min(most, count)
    return (np.arange(blocks, dtype=np.intp) * count) // blocks
