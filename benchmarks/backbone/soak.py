"""Supervisor, engine and workers under everything: `python -m benchmarks.backbone.soak [--minutes 10] [--pause-s 0]`.

Small units, units that compute, leak and hang, workers killed at random, /metrics scraped: throughput, memory, open
files and processor time of every role, restarts, and whether every unit got its one answer. Exit status 1 if one did
not. An hour (`--minutes 60`) is what the supervisor's bounds are for: 40 MB, 1 % of a core. With pauses of the
callers between two units, a machine has room for other work meanwhile.
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
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from benchmarks.backbone.instruments import insist, median
from benchmarks.backbone.soak_engine import Tally
from benchmarks.backbone.soak_supervisor import settings_in
from benchmarks.backbone.watch import Look, children_of, looks_at, looks_table, role_of
from gaia.validator.app.processes.child import python_module

_SAMPLE_S: Final = 0.5
_KILL_EVERY_S: Final = 5.0
_SCRAPE_EVERY_S: Final = 15.0
_SCRAPE_WITHIN_S: Final = 10.0
_STOP_S: Final = 60.0


class Sample(Struct, frozen=True, kw_only=True):
    """One look at everybody."""

    at_s: float
    answered: int
    looks: Sequence[Look]


class Soak(Struct, kw_only=True):
    """What has been seen from outside."""

    samples: list[Sample] = msgspec.field(default_factory=list)
    kills: int = 0
    scrapes: int = 0
    starts: dict[str, int] = msgspec.field(default_factory=dict)
    tally: Tally = msgspec.field(default_factory=Tally)
    exit_status: int = -1


def soaked(folder: Path, minutes: float, pause_s: float) -> Soak:
    """Start it, look on, kill a worker now and then, stop it."""
    soak, log = Soak(), folder / "supervisor.log"
    with log.open("wb") as stderr:
        supervisor = subprocess.Popen(
            python_module("benchmarks.backbone.soak_supervisor", str(folder), str(minutes), str(pause_s)),
            stdin=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        _look_on(soak, folder, supervisor, longest_s=60.0 * minutes + 120.0)
    finally:
        supervisor.terminate()
        soak.exit_status = supervisor.wait(_STOP_S)
    soak.tally = _tally(folder)
    for event in _events(log):
        if event["event"] == "child_started":
            soak.starts[event["role"]] = soak.starts.get(event["role"], 0) + 1
    return soak


def _look_on(soak: Soak, folder: Path, supervisor: subprocess.Popen[bytes], *, longest_s: float) -> None:
    began_s = time.monotonic()
    chance = random.Random(57)  # noqa: S311  a load, not a secret
    kill_at_s = scrape_at_s = began_s + _KILL_EVERY_S
    while not (tally := _tally(folder)).finished:
        now_s = time.monotonic()
        insist(supervisor.poll() is None, "the supervisor has ended; see its log")
        insist(now_s < began_s + longest_s, "the engine does not finish")
        looks = looks_at(supervisor.pid, now_s - began_s)
        if any(look.role == "compute_worker" for look in looks):  # from here on all of them are there
            soak.samples.append(Sample(at_s=now_s - began_s, answered=tally.answered, looks=looks))
        if now_s >= kill_at_s:
            kill_at_s = now_s + chance.uniform(0.0, 2 * _KILL_EVERY_S)
            soak.kills += _kill_one(supervisor.pid, chance)
        if now_s >= scrape_at_s:
            scrape_at_s = now_s + _SCRAPE_EVERY_S
            _scrape(folder)
            soak.scrapes += 1
        time.sleep(_SAMPLE_S)


def _kill_one(supervisor_pid: int, chance: random.Random) -> int:
    workers = [pid for pid in children_of(supervisor_pid) if role_of(pid) == "compute_worker"]
    if not workers:
        return 0
    with contextlib.suppress(ProcessLookupError):
        os.kill(chance.choice(workers), signal.SIGKILL)
    return 1


def _scrape(folder: Path) -> None:
    port = (settings_in(folder).run_dir / "metrics.port").read_text(encoding="ascii").strip()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=_SCRAPE_WITHIN_S) as answer:
        insist(b"gaia_engine_snapshot_age_seconds" in answer.read(), "the metrics tell of no engine")


def _tally(folder: Path) -> Tally:
    page = folder / "tally.json"
    return msgspec.json.decode(page.read_bytes(), type=Tally) if page.exists() else Tally()


def _events(log: Path) -> list[dict[str, Any]]:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    return [msgspec.json.decode(line) for line in lines if line.startswith("{") and line.endswith("\n")]


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
        ("late results dropped", f"{tally.stale_results}"),
        ("scrapes of /metrics", f"{soak.scrapes}"),
        ("exit status after SIGTERM", f"{soak.exit_status}"),
    ]
    table = "| soak | |\n|---|---|\n" + "".join(f"| {what} | {value} |\n" for what, value in rows)
    return f"{table}\n{looks_table([look for sample in samples for look in sample.looks])}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print the table, write it and the samples; 1 if a unit was lost or answered wrongly."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backbone.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--pause-s", type=float, default=0.0, help="mean pause of each of the 16 callers")
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="gaia-soak-") as folder:
        soak = soaked(Path(folder), options.minutes, options.pause_s)
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
