"""From the spawning of a worker to its first score, byte code and machine code kept from an earlier one, and where
that time goes.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from benchmarks.measuring import Figure, Report, Size
from benchmarks.scoring.desk import desk
from benchmarks.scoring.reading import frozen_lead

_BOUND_S = 0.5
_PARTS = {
    "the interpreter": "",
    "msgspec": "import msgspec",
    "numpy": "import numpy",
    "blosc": "import numcodecs.blosc, blake3",
    "the worker": "import gaia.validator.app.compute.compute_worker",
    "scoring": "import gaia.tasks.defined_tasks.weather.validator.scoring",
    "the kernel, and one call": (
        "import numpy as np; from gaia.tasks.defined_tasks.weather.scoring.moments import field_moments; "
        "one = np.ones((2, 2), np.float32); field_moments(forecast=one, truth=one, area_weights=np.full(2, 0.5))"
    ),
}


def run(size: Size, _out: Path) -> Report:
    """Workers one after the other, each scoring one field; the first pays for compiling."""
    with tempfile.TemporaryDirectory() as folder:
        frozen = frozen_lead(Path(folder), size, fields=1)
        _keep_compiled(Path(folder) / "compiled")
        hello, scored, busy, again = [], [], [], []
        with desk(Path(folder) / "desk") as opened:
            for _ in range(1 + size.rounds // 2):
                worker = opened.start()
                worker.do("weather.score.era5", frozen.payload)
                hello.append(worker.start_s)
                scored.append(worker.age_s)
                busy.append(worker.busy_s)
                started = time.monotonic()
                worker.do("weather.score.era5", frozen.payload)
                again.append(time.monotonic() - started)
        parts = _parts(max(size.rounds // 3, 1))
    return Report(
        benchmark="start",
        size=size.name,
        figures=(
            Figure(what="worker: spawn to hello", value=statistics.median(hello[1:]), unit="s"),
            Figure(
                what="worker: spawn to its first field's score",
                value=statistics.median(scored[1:]),
                unit="s",
                bound=_BOUND_S,
            ),
            Figure(what="worker: processor time of that", value=statistics.median(busy[1:]), unit="s"),
            Figure(what="worker: the next field, sent and answered", value=statistics.median(again[1:]), unit="s"),
            Figure(what="first worker ever, compiling byte code and kernel", value=scored[0], unit="s"),
            *(Figure(what=f"of it, {name} (processor time)", value=taken, unit="s") for name, taken in parts.items()),
        ),
        medians_s=parts,
    )


def _keep_compiled(folder: Path) -> None:
    """What processes started from here on compile, they keep in a folder of our own, empty at first.

    Elsewhere it depends on the installation: without kept byte code every worker compiles its imports anew, half a
    second's worth.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder)


def _parts(rounds: int) -> dict[str, float]:
    """Seconds of processor time that each step takes after those before it, in a process that does nothing else."""
    steps = "\n".join(f"{code}\ntaken.append(time.process_time())" for code in _PARTS.values())
    program = f"import time\ntaken = []\n{steps}\nprint(taken)"  # it counts from the interpreter's own start
    runs: list[list[float]] = []
    for _ in range(rounds):
        done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=60.0)
        ends = msgspec.json.decode(done.stdout, type=list[float])
        runs.append([end - start for start, end in zip([0.0, *ends], ends, strict=False)])
    steps_s = [statistics.median(column) for column in zip(*runs, strict=True)]
    return dict(zip(_PARTS, steps_s, strict=True))
