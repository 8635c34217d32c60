"""The cost of the process backbone: `python -m benchmarks --only backbone`. Two cores wanted, and a quiet machine.

Besides the report, `backbone.md` (the comparison in full) and `backbone_leak.png` in the output folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import uvloop
from msgspec import Struct

from benchmarks.backbone.instruments import blocking_echo
from benchmarks.backbone.lives import MIB, Leak, Leaps, Starts, leaking, leaps, plot, recycling_ratio, starts
from benchmarks.backbone.speed import OURS, Speed, compare, markdown, ratio, trip_ratio
from benchmarks.measuring import Figure, Report, Size

EXECUTOR: Final = "ProcessPoolExecutor (spawn)"


class Effort(Struct, frozen=True, kw_only=True):
    """How often everything is done."""

    rounds: int
    pings: int
    starts: int
    recycling_rounds: int
    recycling_units: int
    leaking_units: int
    leaps: int


_EFFORTS: Final = {
    "full": Effort(
        rounds=12, pings=400, starts=15, recycling_rounds=5, recycling_units=200, leaking_units=10_000, leaps=10
    ),
    "quick": Effort(rounds=2, pings=50, starts=2, recycling_rounds=1, recycling_units=60, leaking_units=600, leaps=1),
}


def run(size: Size, out: Path) -> Report:
    """All of it; about three minutes in full."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))  # an engine and its workers share what there is
    effort = _EFFORTS[size.name]
    blocking_us = blocking_echo(effort.rounds * effort.pings)
    one = uvloop.run(compare(1, effort.rounds, effort.pings))
    two = uvloop.run(compare(2, effort.rounds, effort.pings))
    started = uvloop.run(starts(effort.starts))
    recycled = uvloop.run(recycling_ratio(effort.recycling_rounds, effort.recycling_units))
    leak = uvloop.run(leaking(effort.leaking_units))
    leapt = uvloop.run(leaps(effort.leaps))
    tables = [markdown(one, 1, blocking_us), markdown(two, 2, blocking_us)]
    (out / "backbone.md").write_text("\n".join(tables), encoding="utf-8")
    plot(leak, out / "backbone_leak.png")
    return Report(
        benchmark="backbone",
        size=size.name,
        figures=(*_speeds(one, two), *_lives(started, recycled, leak, leapt)),
        medians_s={name: 1.0 / speed.units_per_s for name, speed in two.items()},
    )


def _speeds(one: Mapping[str, Speed], two: Mapping[str, Speed]) -> tuple[Figure, ...]:
    ours = two[OURS]
    return (
        Figure(what="no-op units of 1 KB, 2 workers", value=ours.units_per_s, unit="units/s", better="higher"),
        Figure(
            what="to ProcessPoolExecutor (spawn)", value=ratio(two, OURS, EXECUTOR), unit="x", bound=4, better="higher"
        ),
        Figure(what="to pebble", value=ratio(two, OURS, "pebble"), unit="x", bound=2.5, better="higher"),
        Figure(what="to loky", value=ratio(two, OURS, "loky"), unit="x", better="higher"),
        Figure(what="round trip p50 to the raw echo through uvloop", value=trip_ratio(one, 50), unit="x", bound=1.5),
        Figure(what="round trip p99 to the raw echo through uvloop", value=trip_ratio(one, 99), unit="x", bound=2),
        Figure(what="round trip p50", value=one[OURS].round_trip_us(50), unit="us"),
        Figure(what="round trip p99", value=one[OURS].round_trip_us(99), unit="us"),
        Figure(what="loop lag p99 at saturation, 2 workers", value=ours.lag_ms(99), unit="ms", bound=1),
        Figure(what="engine CPU a unit, 2 workers", value=ours.engine_cpu_us, unit="us"),
    )


def _lives(started: Starts, recycled: float, leak: Leak, leapt: Leaps) -> tuple[Figure, ...]:
    units = len(leak.anonymous_bytes)
    early, late = leak.baseline_bytes(slice(0, units // 4)), leak.baseline_bytes(slice(3 * units // 4, units))
    return (
        Figure(what="worker start, until it can take a unit", value=started.start_s * 1e3, unit="ms"),
        Figure(what="worker's unique memory", value=started.unique_bytes / MIB, unit="MiB"),
        Figure(what="throughput recycling every 20 units (50 ms each, warm spare)", value=recycled, unit="x", bound=0.9,
               better="higher"),
        Figure(what=f"{units} units leaking 1 MB: units lost", value=leak.lost, unit="units", bound=0),
        Figure(what="their highest worker over the soft limit of 200 MiB",
               value=(max(leak.anonymous_bytes) - leak.soft_bytes) / MIB, unit="MiB"),
        Figure(what="baseline of the last quarter's workers over the first's", value=(late - early) / MIB, unit="MiB",
               bound=1),
        Figure(what="IO-Engine's growth from the first quarter's end",
               value=(leak.engine_bytes[-1] - leak.engine_bytes[units // 4]) / MIB, unit="MiB", bound=2),
        Figure(what="leap past the hard limit of 300 MiB, typical", value=leapt.typical_bytes / MIB, unit="MiB"),
        Figure(what=f"the same, worst of {leapt.kills}", value=leapt.worst_bytes / MIB, unit="MiB"),
    )  # fmt: skip
