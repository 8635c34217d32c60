"""No-op units of 1 KB through every contender, in one interleaved run: throughput, latency, what the engine pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final

from msgspec import Struct, field

from benchmarks.backbone.contenders import CONTENDERS
from benchmarks.backbone.instruments import Burst, apart, median, one_by_one, percentile, saturate

BOUND: Final = "raw echo through uvloop (bound)"
OURS: Final = "**gaia**"
SUBMITTERS: Final = 16
_BURST_S: Final = 0.25


class Speed(Struct, kw_only=True):
    """What one contender did, round by round."""

    bursts: list[Burst] = field(default_factory=list)
    round_trips_us: list[list[float]] = field(default_factory=list)

    @property
    def units_per_s(self) -> float:
        """Median of the rounds."""
        return median([burst.units_per_s for burst in self.bursts])

    @property
    def engine_cpu_us(self) -> float:
        """Median of the rounds."""
        return median([burst.engine_cpu_us for burst in self.bursts])

    def round_trip_us(self, percent: float) -> float:
        """Median over the rounds of each round's percentile."""
        return median([percentile(trips, percent) for trips in self.round_trips_us])

    def lag_ms(self, percent: float) -> float:
        """Median over the rounds of each round's percentile, at saturation."""
        return median([percentile(burst.lags_ms, percent) for burst in self.bursts])


async def compare(workers: int, rounds: int, pings: int) -> Mapping[str, Speed]:
    """Every round gives every contender a burst of about a quarter of a second, then units one by one.

    These with engine and workers kept on cores of their own: where the scheduler happens to put both on one, any
    contender's round trip takes a third of the time, and the rounds could not be compared.
    """
    async with AsyncExitStack() as stack:
        dos = {name: await stack.enter_async_context(make(workers)) for name, make in CONTENDERS.items()}
        speeds = {name: Speed() for name in dos}
        units = {}
        for name, do in dos.items():
            await saturate(do, 200, SUBMITTERS)  # the workers start and import
            units[name] = max(100, int((await saturate(do, 200, SUBMITTERS)).units_per_s * _BURST_S))
        names = list(dos)
        for number in range(rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                speeds[name].bursts.append(await saturate(dos[name], units[name], SUBMITTERS))
                with apart():
                    speeds[name].round_trips_us.append(await one_by_one(dos[name], pings))
    return speeds


def ratio(speeds: Mapping[str, Speed], name: str, to: str) -> float:
    """Median over the rounds of the ratio of throughputs within a round."""
    pairs = zip(speeds[name].bursts, speeds[to].bursts, strict=True)
    return median([a.units_per_s / b.units_per_s for a, b in pairs])


def trip_ratio(speeds: Mapping[str, Speed], percent: float) -> float:
    """Ours to the bound: median over the rounds of the ratio of a percentile within a round."""
    pairs = zip(speeds[OURS].round_trips_us, speeds[BOUND].round_trips_us, strict=True)
    return median([percentile(a, percent) / percentile(b, percent) for a, b in pairs])


def markdown(speeds: Mapping[str, Speed], workers: int, blocking_us: Sequence[float]) -> str:
    """One row a contender."""
    lines = [
        f"| {workers} worker{'s' if workers > 1 else ''} | units/s | p50 us | p99 us | engine CPU us/unit "
        "| loop lag p99 ms | gaia is |",
        "|---|--:|--:|--:|--:|--:|--:|",
        f"| raw socketpair echo, no event loop | | {percentile(blocking_us, 50):.0f} "
        f"| {percentile(blocking_us, 99):.0f} | | | |",
    ]
    for name, speed in speeds.items():
        times = "" if name == OURS else f"{ratio(speeds, OURS, name):.2f} x"
        lines.append(
            f"| {name} | {speed.units_per_s:,.0f} | {speed.round_trip_us(50):.0f} | {speed.round_trip_us(99):.0f} "
            f"| {speed.engine_cpu_us:.0f} | {speed.lag_ms(99):.2f} | {times} |"
        )
    return "\n".join(lines) + "\n"
