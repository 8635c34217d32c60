"""Runs the tests. `make test` calls it: all of them, line coverage held to its gate.

With `--quick`, as `make quick` does, the unit tests that are fast. Other arguments go to pytest.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SLOW = "processes or database or conformance or real_data or slow"


def main(arguments: list[str]) -> int:
    """All tests with coverage; with arguments, only what they select, without the gate."""
    command = [sys.executable, "-m", "pytest", *options(arguments)]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **bytecode()}, check=False).returncode


def options(arguments: list[str]) -> list[str]:
    """What pytest is called with."""
    if "--quick" in arguments:
        others = [argument for argument in arguments if argument != "--quick"]
        # Whoever adds a slow test reads its name in the list of durations, and marks it.
        report = ["--no-cov", "--durations=10", "--durations-min=1"]
        in_parallel = ["-n", "auto", "--maxprocesses=4", "--dist=loadfile"]
        return ["tests/unit", "-m", f"not ({SLOW})", *in_parallel, *report, *others]
    if arguments:
        return ["--no-cov", *arguments]
    # Three at a time, a file to each: half of the time is waiting, and a file's tests share what they start.
    # In the order of the folders, so that the long files, which start processes, are not the last.
    in_parallel = ["-n", "3", "--dist=loadfile", "--no-loadscope-reorder"]
    return [*in_parallel, "--cov=src/gaia", "--cov-report=term:skip-covered"]


def bytecode() -> dict[str, str]:
    """Variables that keep byte code in a folder of the tests, where PYTHONDONTWRITEBYTECODE keeps it from the sources.

    Without any, each of the hundreds of processes that the tests start compiles all that it imports.
    """
    if not sys.dont_write_bytecode or sys.pycache_prefix is not None:
        return {}
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(ROOT / ".pytest_cache" / "python")}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
