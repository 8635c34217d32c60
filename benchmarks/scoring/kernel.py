"""All sums of one lead against reading the same four arrays once."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np

from benchmarks.measuring import Figure, Report, Size, interleaved
from benchmarks.scoring.fields import Cube, area_weights, samples, turned
from gaia.tasks.defined_tasks.weather.scoring.moments import field_moments


def run(size: Size, _out: Path) -> Report:
    """RMSE, MAE, bias, ACC, both skills and the rest, of `levels` fields."""
    cubes = lead(size)
    score = scoring(cubes)
    timings = interleaved({"stream": lambda: _stream(*cubes), "score": score}, 2 * size.rounds)
    return Report(
        benchmark="kernel",
        size=size.name,
        figures=(
            Figure(
                what=f"all moments of {' x '.join(map(str, cubes[0].shape))}, to reading the arrays once",
                value=timings.ratio("score", "stream"),
                unit="x",
                bound=1.5,
            ),
            Figure(
                what="most memory allocated meanwhile, of one field",
                value=_peak_bytes(score) / cubes[0][0].nbytes,
                unit="x",
                bound=0.1 if size.name == "full" else None,
            ),
        ),
        medians_s=timings.medians(),
    )


def lead(size: Size) -> list[Cube]:
    """Forecast, truth, climatology, reference: (level, nlat, nlon) each, of values unlike each other."""
    sample = samples(size)[0]
    first = turned(sample.forecast, size.levels)
    rest = [turned(np.roll(sample.truth, shift, axis=1), size.levels) for shift in (0, 3, 6)]
    return [first, *rest]


def scoring(cubes: list[Cube]) -> Callable[[], None]:
    """What scores them, field by field."""
    weights = area_weights(cubes[0].shape[1:])

    def score() -> None:
        for forecast, truth, climatology, reference in zip(*cubes, strict=True):
            field_moments(
                forecast=forecast, truth=truth, climatology=climatology, reference=reference, area_weights=weights
            )

    return score


_CUBE = numba.types.Array(numba.float32, 3, "C")


@numba.njit(numba.float32(_CUBE, _CUBE, _CUBE, _CUBE), fastmath=True)
def _stream(first, second, third, fourth):  # type: ignore[no-untyped-def]
    a, b, c, d = first.reshape(-1), second.reshape(-1), third.reshape(-1), fourth.reshape(-1)
    total = np.float32(0.0)
    for i in range(a.size):
        total += a[i] + b[i] + c[i] + d[i]
    return total


def _peak_bytes(work: Callable[[], None]) -> int:
    """What numpy and Python allocate at most at a time (numpy reports its arrays to tracemalloc)."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
