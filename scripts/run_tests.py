"""Runs the tests and holds line coverage to its gate. `make test` calls it; arguments go to pytest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str]) -> int:
    """All tests with coverage; with arguments, only what they select, without the gate."""
    if arguments:
        options = ["--no-cov", *arguments]
    else:
        # Three at a time, a file to each: half of the time is waiting, and a file's tests share what they start.
        # In the order of the folders, so that the long files, which start processes, are not the last.
        options = ["-n", "3", "--dist", "loadfile", "--no-loadscope-reorder"]
        options += ["--cov=src/gaia", "--cov-report=term:skip-covered"]
    return subprocess.run([sys.executable, "-m", "pytest", *options], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
