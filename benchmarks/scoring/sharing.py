"""What a further worker costs in memory, when all score against one mapped truth, climatology and reference."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from benchmarks.measuring import Figure, Report, Size
from benchmarks.scoring.desk import Worker, desk
from benchmarks.scoring.reading import frozen_lead

_WORKERS = 3
_MIB = 1024 * 1024
_HANDLER = "weather.score.era5"
_LOOK_EVERY_S = 0.01


class Memory(Struct, frozen=True, kw_only=True):
    """MiB resident; what several processes map counts once."""

    total: float
    own: float
    mapped: float


def run(size: Size, _out: Path) -> Report:
    """A whole lead of a production run, scored by one worker after the other; all stay alive."""
    with tempfile.TemporaryDirectory() as folder:
        frozen = frozen_lead(Path(folder), size, fields=size.production_fields)
        one, *_, last = peaks = _grown(Path(folder), frozen.payload)
    return Report(
        benchmark="sharing",
        size=size.name,
        figures=(
            Figure(
                what=f"resident memory of two workers to that of one, {size.production_fields} fields scored",
                value=peaks[1].total / one.total,
                unit="x",
                bound=1.1 if size.name == "full" else None,
            ),
            Figure(what="mapped by the first worker: data and code", value=one.mapped, unit="MiB"),
            Figure(what="mapped by three workers together", value=last.mapped, unit="MiB"),
            Figure(what="a worker's own memory", value=last.own / _WORKERS, unit="MiB"),
            Figure(
                what="growth of the total a worker, less its own memory",
                value=((last.total - one.total) - (last.own - one.own)) / (_WORKERS - 1),
                unit="MiB",
            ),
        ),
        medians_s={},
    )


def _grown(folder: Path, payload: Mapping[str, Any]) -> list[Memory]:
    """With 1, 2, ... of them, all at the same unit: the moment at which they take most."""
    peaks = []
    with desk(folder / "desk") as opened:
        for _ in range(_WORKERS):
            opened.start().do(_HANDLER, payload)
            peaks.append(_peak(opened.workers, payload))
    return peaks


def _peak(workers: Sequence[Worker], payload: Mapping[str, Any]) -> Memory:
    """A store stays mapped only while its unit runs: look all the while."""
    for worker in workers:
        worker.give(_HANDLER, payload)
    seen = [_together(workers)]
    while not workers[0].answers_within(_LOOK_EVERY_S):
        seen.append(_together(workers))
    for worker in workers:
        worker.answer()
    return max(seen, key=lambda memory: memory.total)


def _together(workers: Sequence[Worker]) -> Memory:
    for worker in workers:
        worker.hold(True)  # what one maps while another is looked at would count twice
    each = [worker.memory_bytes() for worker in workers]
    for worker in workers:
        worker.hold(False)
    return Memory(
        total=sum(m["Pss"] for m in each) / _MIB,
        own=sum(m["Pss_Anon"] for m in each) / _MIB,
        mapped=sum(m["Pss_File"] for m in each) / _MIB,
    )
