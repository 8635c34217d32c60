"""How much processor time `import gaia` and the command line's own start take, with byte code kept from an earlier one.

Each case is a process of its own; rounds are interleaved, so that a ratio compares neighbours.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring import Figure, Report, Size, Timings

_BOUND_S = 0.3
_NOTHING = "python -c pass"
_MODULE = ("-m", "gaia.cli.main")
_CASES = {
    _NOTHING: ("-c", "pass"),
    "python -c 'import gaia'": ("-c", "import gaia"),
    "gaia --version": (*_MODULE, "--version"),
    "gaia --help": (*_MODULE, "--help"),
    "gaia score --help": (*_MODULE, "score", "--help"),
    "gaia demo --help": (*_MODULE, "demo", "--help"),
}
_BOUNDED = {"python -c 'import gaia'", "gaia --version", "gaia --help"}
"""What starts without a command's options, for which typer imports pydantic, 0.1 s."""


def run(size: Size, _out: Path) -> Report:
    """Seconds of processor time, user and system, of whole processes."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for case in _CASES.values():  # writes the byte code
            _processor_s(case, environment)
        seconds: dict[str, list[float]] = {name: [] for name in _CASES}
        for _ in range(size.rounds):
            for name, case in _CASES.items():
                seconds[name].append(_processor_s(case, environment))
    timings = Timings(seconds)
    figures = [
        Figure(what=name, value=statistics.median(taken), unit="s", bound=_BOUND_S if name in _BOUNDED else None)
        for name, taken in seconds.items()
    ]
    figures += [
        Figure(what=f"{name}, against {_NOTHING}", value=timings.ratio(name, _NOTHING), unit="x")
        for name in ("python -c 'import gaia'", "gaia --help")
    ]
    return Report(benchmark="command_line", size=size.name, figures=tuple(figures), medians_s=timings.medians())


def _processor_s(case: tuple[str, ...], environment: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *case], env=environment, check=True, capture_output=True, timeout=60.0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
