"""`python -m benchmarks [--quick] [--out FOLDER] [--only NAME ...]`: every benchmark in a process of its own.

Writes FOLDER/NAME.json for each and FOLDER/table.md for all, and prints the table.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from benchmarks.measuring import FULL, ONE_THREAD, QUICK, Report, stay_on_one_core
from benchmarks.table import table

BENCHMARKS = {
    "kernel": "benchmarks.scoring.kernel",
    "reading": "benchmarks.scoring.reading",
    "sharing": "benchmarks.scoring.sharing",
    "peers": "benchmarks.scoring.peers",
    "growth": "benchmarks.scoring.growth",
    "start": "benchmarks.scoring.start",
    "command_line": "benchmarks.command_line",
    "backbone": "benchmarks.backbone.report",
}
_LONGEST_S = 300.0


def main(arguments: list[str]) -> int:
    """Run what is asked for; 1 if a benchmark failed to run. A bound that is not kept is shown, not punished."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: whether they run, not how fast")
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="folder for JSON, table and plot")
    parser.add_argument("--only", nargs="+", choices=list(BENCHMARKS), default=list(BENCHMARKS))
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.here:
        measure(options.only[0], quick=options.quick, out=options.out)
        return 0
    failed = [name for name in options.only if not _in_a_process(name, quick=options.quick, out=options.out)]
    (options.out / "table.md").write_text(table(_reports(options.out, BENCHMARKS)), encoding="utf-8")
    print(table(_reports(options.out, options.only)))
    return 1 if failed else 0


def _reports(out: Path, names: Iterable[str]) -> list[Report]:
    written = [out / f"{name}.json" for name in names]
    return [msgspec.json.decode(path.read_bytes(), type=Report) for path in written if path.exists()]


def measure(name: str, *, quick: bool, out: Path) -> Report:
    """Run one benchmark in this process and write its report."""
    stay_on_one_core()
    report: Report = importlib.import_module(BENCHMARKS[name]).run(QUICK if quick else FULL, out)
    (out / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    return report


def _in_a_process(name: str, *, quick: bool, out: Path) -> bool:
    started = time.monotonic()
    command = [sys.executable, "-m", "benchmarks", "--here", "--only", name, "--out", str(out)]
    done = subprocess.run(
        [*command, *(["--quick"] if quick else [])], env=os.environ | ONE_THREAD, check=False, timeout=_LONGEST_S
    )
    print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
