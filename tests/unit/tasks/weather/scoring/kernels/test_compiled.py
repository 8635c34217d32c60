"""Compiled kernels against the same functions run by Python, on fields with gaps and points of no weight."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from gaia.tasks.defined_tasks.weather.scoring import comoments, ensemble, extremes
from gaia.tasks.defined_tasks.weather.scoring.kernels import moments_kernel
from gaia.tasks.defined_tasks.weather.scoring.kernels.compiled import Argument, Kernel
from gaia.tasks.defined_tasks.weather.scoring.kernels.native_kernel import MAY_REORDER

_RANDOM = np.random.default_rng(5)
_FIELDS = _RANDOM.normal(250.0, 10.0, (4, 6, 9)).astype(np.float32)
_FIELDS[1, 2, 3] = _FIELDS[2, 5] = np.nan
_MEMBERS = _RANDOM.normal(250.0, 10.0, (5, 6, 9)).astype(np.float32)
_POINTS = _RANDOM.uniform(0.0, 1.0, (6, 9)) * (_RANDOM.random((6, 9)) < 0.7)
_ROWS = np.array([0.1, 0.0, 0.2, 0.3, 0.2, 0.2])
_WHOLE = _RANDOM.normal(250.0, 10.0, (4, 6, 9)).astype(np.float32)
_ORIGIN, _LIMITS = 250.0, [240.0, 260.0]
"""Limits that some values are beyond."""
_ENSEMBLE = (Argument.MEMBERS, Argument.FIELD, Argument.POINTS, Argument.SCRATCH, Argument.SUMS)

_CASES = [
    pytest.param(
        moments_kernel.accumulate_rows,
        moments_kernel._accumulate_rows,
        [*_WHOLE[1:], _ROWS, _ORIGIN, _WHOLE[0], *_LIMITS],
        14,
        id="moments",
    ),
    pytest.param(
        moments_kernel.accumulate_forecast,
        moments_kernel._accumulate_forecast,
        [*_WHOLE[1:3], _ROWS, _ORIGIN, _WHOLE[0], *_LIMITS],
        14,
        id="moments, the forecast's",
    ),
    *(
        pytest.param(
            moments_kernel.accumulate_points,
            moments_kernel._accumulate_each,
            [*_FIELDS[1:], weights, _ORIGIN, _FIELDS[0], *_LIMITS],
            14,
            id=f"moments, {name}",
        )
        for name, weights in (("points", _POINTS), ("rows with gaps", _ROWS[:, None]))
    ),
    pytest.param(
        comoments._accumulate, comoments._accumulate_rows, [*_FIELDS[:3], _POINTS, 1.0, 2.0], 6, id="comoments"
    ),
    pytest.param(extremes._accumulate, extremes._accumulate_rows, [*_FIELDS[:3], _POINTS, 1.0], 7, id="extremes"),
    pytest.param(
        ensemble._accumulate, ensemble._accumulate_rows, [_MEMBERS, _FIELDS[1], _POINTS, np.zeros(5)], 7, id="ensemble"
    ),
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


def _double(numbers: Any, factor: float, sums: Any) -> None:
    for j in range(numbers.shape[0]):
        sums[j] += factor * numbers[j, 0]


def test_a_kernel_with_arguments_given_beforehand_does_the_same() -> None:
    kernel = Kernel(_double, Argument.FIELD, Argument.NUMBER, Argument.SUMS)
    numbers = np.array([[1.0], [3.0]], dtype=np.float32)
    cases = [
        (kernel.bound(), (numbers, 2.0)),
        (kernel.bound(numbers), (2.0,)),
        (kernel.bound(numbers, 2.0), ()),
    ]
    for bound, rest in cases:
        sums = np.zeros(2)
        bound(*rest, sums)
        assert sums.tolist() == [2.0, 6.0]


@pytest.mark.slow
def test_the_compiler_says_nothing_to_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path))  # nothing is compiled yet
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    # Its sorting is a loop that cannot be made of vectors.
    kernel = Kernel(ensemble._accumulate_rows, *_ENSEMBLE, same_lanes=False)
    sums = np.zeros(7)
    kernel(_MEMBERS, _WHOLE[1], _POINTS, np.zeros(5), sums)
    assert sums[0] == pytest.approx(_POINTS.sum(), rel=1e-12)
    assert list(tmp_path.rglob("*.o"))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("members", [1, 2, 7, 51])
def test_an_ensembles_sums_have_the_digits_of_the_compiler_left_to_itself(members: int) -> None:
    alone: Any = numba.njit(fastmath=MAY_REORDER)(ensemble._accumulate_rows)
    ensembles = _RANDOM.normal(250.0, 10.0, (members, 6, 9)).astype(np.float32)
    sums = np.zeros((2, 7))
    for run, row in zip((ensemble._accumulate, alone), sums, strict=True):
        run(ensembles, _FIELDS[1], _POINTS, np.zeros(members), row)
    assert sums[0].tobytes() == sums[1].tobytes()
