"""`python -m benchmarks.backbone.soak [--minutes 10] [--out FOLDER]`: supervisor, engine and workers under everything.

Small units, units that compute, leak and hang, workers killed at random: throughput, memory and processor time of every
role, restarts, and whether every unit got its one answer. Exit status 1 if one did not.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from benchmarks.backbone.instruments import insist, median, percentile
from benchmarks.backbone.soak_engine import MIB, WORKERS, Tally
from benchmarks.backbone.units import REGISTRY
from gaia.validator.app.children import python_module
from gaia.validator.app.memory import process_usage
from gaia.validator.app.supervisor import Programs
from gaia.validator.app.supervisor_settings import SupervisorSettings
from gaia.validator.validator import run

_SAMPLE_S: Final = 0.5
_KILL_EVERY_S: Final = 5.0
_STOP_S: Final = 60.0
_ROLES: Final = ("supervisor", "io_engine", "compute_worker")


class Sample(Struct, frozen=True, kw_only=True):
    """One look at everybody: resident memory by role."""

    at_s: float
    answered: int
    resident_bytes: Mapping[str, Sequence[int]]


class Soak(Struct, kw_only=True):
    """What has been seen from outside."""

    samples: list[Sample] = msgspec.field(default_factory=list)
    kills: int = 0
    supervisor_cpu_s: float = 0.0
    starts: dict[str, int] = msgspec.field(default_factory=dict)
    tally: Tally = msgspec.field(default_factory=Tally)
    exit_status: int = -1


def supervise(folder: Path, minutes: float) -> int:
    """Be the supervisor. Its settings, but for the number of workers and their limit, are the product's own."""
    settings = SupervisorSettings(
        data_dir=str(folder / "data"),
        database_url="postgresql://nobody@localhost/nothing",  # nobody here asks it anything
        compute_workers=WORKERS,
        spare_workers=1,
        hard_memory_bytes=600 * MIB,
        grace_s=5.0,
    )
    engine = python_module("benchmarks.backbone.soak_engine", "--page", str(folder / "tally.json"))
    engine += ["--socket", str(settings.engine_socket), "--minutes", str(minutes)]
    return run(lambda: settings, Programs(engine=engine, setup=(sys.executable, "-c", ""), registry=REGISTRY))


def soaked(folder: Path, minutes: float) -> Soak:
    """Start it, look on, kill a worker now and then, stop it."""
    soak, log = Soak(), folder / "supervisor.log"
    with log.open("wb") as stderr:
        supervisor = subprocess.Popen(
            python_module("benchmarks.backbone.soak", "--supervise", str(folder), "--minutes", str(minutes)),
            stdin=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        _look_on(soak, folder, supervisor, longest_s=60.0 * minutes + 120.0)
    finally:
        if (usage := process_usage(supervisor.pid)) is not None:
            soak.supervisor_cpu_s = usage.cpu_s
        supervisor.terminate()
        soak.exit_status = supervisor.wait(_STOP_S)
    soak.tally = _tally(folder)
    for event in _events(log):
        if event["event"] == "child_started":
            soak.starts[event["role"]] = soak.starts.get(event["role"], 0) + 1
    return soak


def _look_on(soak: Soak, folder: Path, supervisor: subprocess.Popen[bytes], *, longest_s: float) -> None:
    began_s, log = time.monotonic(), folder / "supervisor.log"
    chance = random.Random(57)  # noqa: S311  a load, not a secret
    kill_at_s = time.monotonic() + _KILL_EVERY_S
    while not (tally := _tally(folder)).finished:
        insist(supervisor.poll() is None, "the supervisor has ended; see its log")
        insist(time.monotonic() < began_s + longest_s, "the engine does not finish")
        pids = _living(log)
        resident = {
            role: [usage.resident_bytes for pid in pids.get(role, ()) if (usage := process_usage(pid)) is not None]
            for role in _ROLES[1:]
        }
        own = process_usage(supervisor.pid)
        resident["supervisor"] = [own.resident_bytes] if own is not None else []
        soak.samples.append(Sample(at_s=time.monotonic() - began_s, answered=tally.answered, resident_bytes=resident))
        workers = pids.get("compute_worker", [])
        if workers and time.monotonic() >= kill_at_s:
            kill_at_s = time.monotonic() + chance.uniform(0.0, 2 * _KILL_EVERY_S)
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(workers), signal.SIGKILL)
                soak.kills += 1
        time.sleep(_SAMPLE_S)


def _tally(folder: Path) -> Tally:
    page = folder / "tally.json"
    return msgspec.json.decode(page.read_bytes(), type=Tally) if page.exists() else Tally()


def _events(log: Path) -> list[dict[str, Any]]:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    return [msgspec.json.decode(line) for line in lines if line.startswith("{") and line.endswith("\n")]


def _living(log: Path) -> dict[str, list[int]]:
    """Who runs, by role, as the supervisor's log has it."""
    living: dict[int, str] = {}
    for event in _events(log):
        if event["event"] == "child_started":
            living[event["pid"]] = event["role"]
        elif event["event"] == "child_ended":
            living.pop(event["pid"], None)
    by_role: dict[str, list[int]] = {}
    for pid, role in living.items():
        by_role.setdefault(role, []).append(pid)
    return by_role


def markdown(soak: Soak) -> str:
    """What came of it."""
    samples, tally = soak.samples, soak.tally
    paired = itertools.pairwise(samples[:: int(2 / _SAMPLE_S)])  # the tally is a second old at most
    rates = [(b.answered - a.answered) / (b.at_s - a.at_s) for a, b in paired]
    tenth = max(1, len(rates) // 10)
    restarts = ", ".join(f"{role} {count}" for role, count in soak.starts.items())
    rows = [
        ("time", f"{samples[-1].at_s / 60:.1f} min"),
        ("units asked, answered, answered wrongly", f"{tally.asked:,}, {tally.answered:,}, {len(tally.unexpected)}"),
        (
            "units/s: median, first and last tenth",
            f"{median(rates):,.0f}, {median(rates[:tenth]):,.0f}, {median(rates[-tenth:]):,.0f}",
        ),
        (
            "workers killed by us, lost in mid-unit, recycled; units timed out",
            f"{soak.kills}, {tally.lost_workers}, {tally.retired}; {tally.timed_out}",
        ),
        ("starts", restarts),
        ("supervisor's processor time", f"{100 * soak.supervisor_cpu_s / samples[-1].at_s:.2f} % of a core"),
        ("late results dropped", f"{tally.stale_results}"),
        ("exit status after SIGTERM", f"{soak.exit_status}"),
        *((f"{role}: resident, first and last tenth, highest", _memory(samples, role)) for role in _ROLES),
    ]
    return "| soak | |\n|---|---|\n" + "".join(f"| {what} | {value} |\n" for what, value in rows)


def _memory(samples: Sequence[Sample], role: str) -> str:
    sizes = [size for sample in samples for size in sample.resident_bytes.get(role, ())]
    tenth = max(1, len(sizes) // 10)
    first, last, highest = median(sizes[:tenth]), median(sizes[-tenth:]), percentile(sizes, 100)
    return f"{first / MIB:.1f}, {last / MIB:.1f}, {highest / MIB:.1f} MiB"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print the table, write it and the samples; 1 if a unit was lost or answered wrongly."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backbone.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    parser.add_argument("--supervise", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.supervise is not None:
        return supervise(options.supervise, options.minutes)
    with tempfile.TemporaryDirectory(prefix="gaia-soak-") as folder:
        soak = soaked(Path(folder), options.minutes)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "soak.json").write_bytes(msgspec.json.encode(soak.samples))
    text = markdown(soak)
    (options.out / "soak.md").write_text(text, encoding="utf-8")
    print(text)
    for what in soak.tally.unexpected[:10]:
        print(f"unexpected: {what}", file=sys.stderr)
    whole = soak.tally.asked == soak.tally.answered and not soak.tally.unexpected and soak.exit_status == 0
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
