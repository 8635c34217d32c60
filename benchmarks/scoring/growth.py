"""Cost against the number of forecasts, leads and fields, and on coarser grids: straight lines through the origin."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from msgspec.structs import replace

from benchmarks.measuring import Figure, Report, Size, Timings, interleaved
from benchmarks.scoring.kernel import lead, scoring
from benchmarks.scoring.reading import frozen_lead
from gaia.tasks.defined_tasks.weather.validator.scoring import handle_era5_unit

mpl.use("Agg")

_COUNTS = (1, 2, 4, 8, 16)
_COARSE_DEGREES = (1.0, 1.5)
PLOT = "growth.png"


def run(size: Size, out: Path) -> Report:
    """Lines on 1 degree, on which a point of each line is cheap; grids with all levels of a lead."""
    small = replace(size, degrees=max(size.degrees, 1.0))
    with tempfile.TemporaryDirectory() as folder:
        lines = {
            "forecasts": _timed(_forecasts(Path(folder) / "forecasts", small), size),
            "leads": _timed(_leads(small), size),
            "fields": _timed(_fields(Path(folder) / "fields", small), size),
        }
    grids = _grids(size)
    _draw(lines, out / PLOT)
    medians = {f"{axis} {count}": taken for axis, line in lines.items() for count, taken in line.items()}
    return Report(
        benchmark="growth",
        size=size.name,
        figures=(
            *(
                Figure(
                    what=f"{axis}: {max(line)} of them to {max(line)} times the slope (1: a straight line)",
                    value=_bend(line),
                    unit="x",
                )
                for axis, line in lines.items()
            ),
            *(
                Figure(
                    what=f"kernel on {degrees} degrees, {size.levels} fields, to {size.degrees} degrees a point",
                    value=grids.ratio(str(degrees), "reference") * _points(size.degrees) / _points(degrees),
                    unit="x",
                )
                for degrees in _COARSE_DEGREES
            ),
            *(
                Figure(what=f"kernel on {degrees} degrees, one field", value=taken / size.levels * 1e6, unit="us")
                for degrees, taken in grids.medians().items()
                if degrees != "reference"
            ),
        ),
        medians_s=medians,
    )


Line = Mapping[int, float]
"""Count -> median seconds."""


def _timed(cases: Mapping[int, Callable[[], object]], size: Size) -> Line:
    medians = interleaved({str(count): work for count, work in cases.items()}, size.rounds).medians()
    return {int(count): taken for count, taken in medians.items()}


def _forecasts(folder: Path, size: Size) -> dict[int, Callable[[], object]]:
    """One lead of several forecasts, each read, checked and scored by the handler."""
    payloads = [frozen_lead(folder / str(index), size).payload for index in range(_COUNTS[-1])]
    return {count: _repeating([_handling(payload) for payload in payloads[:count]]) for count in _COUNTS}


def _leads(size: Size) -> dict[int, Callable[[], object]]:
    """Several leads in memory: the kernel alone."""
    leads = [scoring(lead(size)) for _ in range(_COUNTS[-1])]
    return {count: _repeating(leads[:count]) for count in _COUNTS}


def _fields(folder: Path, size: Size) -> dict[int, Callable[[], object]]:
    """One forecast of ever more fields, by the handler."""
    payloads = {count: frozen_lead(folder / str(count), size, fields=4 * count).payload for count in _COUNTS}
    return {4 * count: _handling(payload) for count, payload in payloads.items()}


def _handling(payload: Mapping[str, object]) -> Callable[[], object]:
    return lambda: handle_era5_unit(payload)


def _repeating(works: Sequence[Callable[[], object]]) -> Callable[[], object]:
    return lambda: [work() for work in works]


def _grids(size: Size) -> Timings:
    cases = {str(degrees): scoring(lead(replace(size, degrees=degrees))) for degrees in _COARSE_DEGREES}
    return interleaved({**cases, "reference": scoring(lead(size))}, size.rounds)


def _points(degrees: float) -> float:
    return (round(180 / degrees) + 1) * round(360 / degrees)


def _bend(line: Line) -> float:
    """The last point over where a least-squares line with its own start would see it, start taken off both."""
    counts, seconds = np.array(list(line), dtype=float), np.array(list(line.values()))
    slope, start = np.polyfit(counts[:-1], seconds[:-1], 1)
    return float((seconds[-1] - start) / (slope * counts[-1]))


def _draw(lines: Mapping[str, Line], path: Path) -> None:
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(7.0, 4.5), layout="constrained")
    axes = canvas.add_subplot()
    for axis, line in lines.items():
        counts, seconds = np.array(list(line), dtype=float), np.array(list(line.values()))
        slope, start = np.polyfit(counts, seconds, 1)
        drawn = axes.plot(counts, 1e3 * seconds, "o", label=f"{axis}: {1e3 * slope:.2g} ms each")
        axes.plot(counts, 1e3 * (start + slope * counts), "-", color=drawn[0].get_color(), linewidth=1)
    axes.set(xlabel="how many", ylabel="processor time, ms", title="Cost of scoring, 1 degree")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    canvas.savefig(path, dpi=150)
