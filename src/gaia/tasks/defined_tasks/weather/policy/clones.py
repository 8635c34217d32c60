"""Whether two forecasts are copies of each other: a distance between fields, and a cheap lower bound of it.

Owns the measure. It does not decide who copied whom, and it holds no threshold: thresholds are data, in `policy`.
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
"""A sketch averages over blocks of 3 degrees of latitude by 10 of longitude. Weather systems are larger than that."""


def distance(first: Field, second: Field, area_weights: NDArray[np.float64]) -> float:
    """The area-weighted mean squared difference of two fields.

    Args:
        first: float32 `(latitude, longitude)`.
        second: A field of the same shape and unit. A point where it is NaN or infinite is left out.
        area_weights: float64 `(latitude,)` or `(latitude, longitude)`, as for `moments.field_moments`.

    Returns:
        The distance in the variable's unit squared; 0 for equal fields.

    Raises:
        NonFiniteForecast: `first` is not finite at a point where `second` is (miner's fault).
        NoFiniteTruth: `second` has no finite value where points have weight (source's fault).
        BadField: An array is not float32, not 2-d or empty (validator's fault).
        GridMismatch: The shapes differ (validator's fault).

    >>> import numpy as np
    >>> distance(np.float32([[3, 3]]), np.float32([[1, 5]]), np.ones(1))
    4.0
    """
    moments = field_moments(forecast=first, truth=second, area_weights=area_weights)
    return moments.squared_error / moments.finite_area


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """A grid divided into at most 60 x 36 blocks of neighbouring rows and columns."""

    row_weights: NDArray[np.float64]
    """(nlat,) area weights."""
    row_starts: NDArray[np.intp]
    column_starts: NDArray[np.intp]
    areas: NDArray[np.float64]
    """(blocks,) the area of each block; they sum to 1, as the rows' weights do."""

    @classmethod
    def of(cls, area_weights: NDArray[np.float64], longitude_count: int) -> Self:
        """The blocks of a grid.

        Args:
            area_weights: float64 `(latitude,)`, with the sum 1, as `Grid.area_weights` gives them.
            longitude_count: The number of points in a row.
        """
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
        """A field's area-weighted mean over each block.

        Args:
            field: float32 `(latitude, longitude)`. A block that holds a NaN has the mean NaN.

        Returns:
            float64 `(blocks,)`. A block without area has 0.
        """
        columns = np.add.reduceat(field, self.column_starts, axis=1, dtype=np.float64)
        sums = np.add.reduceat(columns * self.row_weights[:, None], self.row_starts, axis=0).ravel() / field.shape[1]
        means = np.divide(sums, self.areas, out=np.zeros_like(sums), where=self.areas > 0.0)
        return np.asarray(means, dtype=np.float64)

    def least_distances(self, first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
        """Lower bounds of `distance`, made from sketches. (The square of a block's mean is at most its mean square.)

        Args:
            first: float64 `(..., blocks)`, from `sketch`. A block that is NaN in either sketch adds nothing.
            second: The same; the leading axes broadcast.

        Returns:
            float64 of the leading axes, in the variable's unit squared.
        """
        return np.asarray(np.nan_to_num((first - second) ** 2) @ self.areas, dtype=np.float64)


def are_clones(distances: Mapping[FieldT, float], policy: ScoringPolicy, lead_h: int = 0) -> bool | None:
    """Whether two forecasts count as one at a lead: enough of the gate fields are nearer than their thresholds.

    A smaller distance never turns "yes" into "no". So a "no" from lower bounds of the distances is final.

    Args:
        distances: Field -> `distance` or a lower bound of it, in the variable's unit squared. Fields outside the day-1
            gate are ignored.
        policy: Gives the thresholds (`clone_thresholds`, `clone_growth`) and the share (`clone_agreement`).
        lead_h: The lead in hours. Thresholds grow with it.

    Returns:
        None if `distances` holds no gate field.
    """
    gate_fields = policy.gate_fields(tuple(distances))
    if not gate_fields:
        return None
    near = sum(1 for f in gate_fields if distances[f] < (policy.clone_threshold(f, lead_h) or 0.0))
    return near >= policy.clone_agreement * len(gate_fields)


def has_faded(from_climatology: float, scored: FieldT, policy: ScoringPolicy, lead_h: int = 0) -> bool:
    """Whether a field is so near to the climatology that it does not show who made it.

    Damped and averaged forecasts approach the climatology as the lead grows. They are then alike without copying.

    Args:
        from_climatology: The field's `distance` from the climatology, in the variable's unit squared.
        scored: The field's name.
        policy: Gives the limit: `clone_faded` times the field's clone threshold.
        lead_h: The lead in hours.
    """
    return from_climatology < policy.clone_faded * (policy.clone_threshold(scored, lead_h) or 0.0)


def _starts(count: int, most: int) -> NDArray[np.intp]:
    blocks = min(most, count)
    return (np.arange(blocks, dtype=np.intp) * count) // blocks
