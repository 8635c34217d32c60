"""How a bound is measured: all cases in one interleaved run on one core, as medians and as ratios of neighbours.

Time is processor time, of all threads, user and system: on a machine with other work, what the clock on the wall says
wanders by a factor. What ran beside each other still shared the memory with the same others.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Literal

from msgspec import Struct

ONE_THREAD = dict.fromkeys(
    (
        *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"),
        *("NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS", "BLOSC_NTHREADS"),
    ),
    "1",
)
"""What must stand in the environment before numpy is imported."""


class Size(Struct, frozen=True, kw_only=True):
    """How much is measured. `degrees`: the grid's step."""

    name: Literal["full", "quick"]
    degrees: float
    levels: int
    rounds: int
    production_fields: int
    """What a whole lead of a production run holds."""


FULL = Size(name="full", degrees=0.25, levels=13, rounds=15, production_fields=69)
QUICK = Size(name="quick", degrees=6.0, levels=2, rounds=3, production_fields=3)


class Figure(Struct, frozen=True, kw_only=True):
    """One number of a report, with the bound that it should keep, if there is one."""

    what: str
    value: float
    unit: str
    bound: float | None = None
    better: Literal["lower", "higher"] = "lower"

    @property
    def holds(self) -> bool | None:
        """Whether the bound is kept; None: there is none."""
        if self.bound is None:
            return None
        return self.value <= self.bound if self.better == "lower" else self.value >= self.bound


class Report(Struct, frozen=True, kw_only=True):
    """What one benchmark found."""

    benchmark: str
    size: str
    figures: tuple[Figure, ...]
    medians_s: Mapping[str, float]


class Timings:
    """Seconds of processor time of each case, round by round."""

    def __init__(self, seconds: Mapping[str, list[float]]) -> None:
        self._seconds = seconds

    def medians(self) -> dict[str, float]:
        """Median seconds of each case."""
        return {case: median(taken) for case, taken in self._seconds.items()}

    def ratio(self, case: str, to: str) -> float:
        """The median of the ratios within each round."""
        return median(a / b for a, b in zip(self._seconds[case], self._seconds[to], strict=True))


def interleaved(cases: Mapping[str, Callable[[], object]], rounds: int) -> Timings:
    """Run every case once a round, each round beginning with another, after one round that does not count."""
    names = list(cases)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-1, rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            started = time.process_time()
            cases[name]()
            taken = time.process_time() - started
            if number >= 0:
                seconds[name].append(taken)
    return Timings(seconds)


def stay_on_one_core() -> None:
    """Keep this process, and what it starts, on the last core that it may use: the first serves most interrupts."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
