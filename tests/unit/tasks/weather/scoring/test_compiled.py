"""Compiled kernels against the same functions run by Python, on fields with gaps and points of no weight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gaia.tasks.defined_tasks.weather.scoring import comoments, ensemble, extremes, moments

_RANDOM = np.random.default_rng(5)
_FIELDS = _RANDOM.normal(250.0, 10.0, (4, 6, 9)).astype(np.float32)
_FIELDS[1, 2, 3] = _FIELDS[2, 5] = np.nan
_MEMBERS = _RANDOM.normal(250.0, 10.0, (5, 6, 9)).astype(np.float32)
_POINTS = _RANDOM.uniform(0.0, 1.0, (6, 9)) * (_RANDOM.random((6, 9)) < 0.7)
_ROWS = np.array([0.1, 0.0, 0.2, 0.3, 0.2, 0.2])
_NUMBERS = [250.0, 240.0, 260.0]
"""An origin, and limits that some values are beyond."""

_CASES = [
    pytest.param(moments._accumulate, moments._accumulate_rows, [*_FIELDS, _ROWS, *_NUMBERS], 14, id="moments, rows"),
    pytest.param(moments._accumulate_points, moments._accumulate_each, [*_FIELDS, _POINTS, *_NUMBERS], 14, id="points"),
    pytest.param(
        comoments._accumulate, comoments._accumulate_rows, [*_FIELDS[:3], _POINTS, 1.0, 2.0], 6, id="comoments"
    ),
    pytest.param(extremes._accumulate, extremes._accumulate_rows, [*_FIELDS[:3], _POINTS, 1.0], 7, id="extremes"),
    pytest.param(ensemble._accumulate, ensemble._accumulate_rows, [_MEMBERS, _FIELDS[1], _POINTS], 7, id="ensemble"),
]


@pytest.mark.parametrize(("compiled", "function", "arguments", "count"), _CASES)
def test_a_kernel_does_what_its_python_says(
    compiled: Callable[..., None], function: Callable[..., None], arguments: list[Any], count: int
) -> None:
    sums = np.zeros((2, count))
    with np.errstate(invalid="ignore"):
        for run, row in zip((compiled, function), sums, strict=True):
            run(*arguments, row)
    assert np.isfinite(sums).all()
    assert sums[0] == pytest.approx(sums[1], rel=1e-12)
