"""Whether two forecasts are one: the distance of fields, and a cheap lower bound to spare most comparisons.

Owns the measure. Never decides who copied whom, and never touches a threshold: those are data, in `policy`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from gaia.tasks.defined_tasks.weather.scoring.moments import Field, field_moments
from gaia.tasks.defined_tasks.weather.scoring.policy import FieldT, ScoringPolicy

_SECTORS = 12
"""Blocks of longitude that a sketch averages over: 30 degrees each, so that planetary waves remain in it."""


def distance(first: Field, second: Field, area_weights: NDArray[np.float64]) -> float:
    """The mean squared difference of two fields, float32 (nlat, nlon), in the variable's unit squared."""
    moments = field_moments(forecast=first, truth=second, area_weights=area_weights)
    return moments.squared_error / moments.finite_area


def sketch(field: Field) -> NDArray[np.float64]:
    """A field's means over blocks of longitude, row by row: float64 (nlat, at most 12), small."""
    starts = _block_starts(field.shape[1])
    sums = np.add.reduceat(field, starts, axis=1, dtype=np.float64)
    return np.asarray(sums / _block_sizes(field.shape[1]), dtype=np.float64)


def least_distance(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    area_weights: NDArray[np.float64],
    longitude_count: int,
) -> float:
    """A lower bound of `distance` from two sketches: a block's squared mean is at most its mean square."""
    share = _block_sizes(longitude_count) / longitude_count
    return float(area_weights @ ((first - second) ** 2 @ share))


def are_clones(distances: Mapping[FieldT, float], policy: ScoringPolicy) -> bool | None:
    """Whether the distance is below the threshold in the policy's share of gate fields; None: there is no gate field.

    Falling distances never make a clone two, so lower bounds of distances may rule clones out.
    """
    gate_fields = policy.gate_fields(tuple(distances))
    if not gate_fields:
        return None
    near = sum(1 for f in gate_fields if distances[f] < (policy.clone_threshold(f) or 0.0))
    return near >= policy.clone_agreement * len(gate_fields)


def _block_starts(longitude_count: int) -> NDArray[np.intp]:
    blocks = min(_SECTORS, longitude_count)
    return (np.arange(blocks, dtype=np.intp) * longitude_count) // blocks


def _block_sizes(longitude_count: int) -> NDArray[np.intp]:
    return np.diff(np.append(_block_starts(longitude_count), longitude_count))
