"""What workers cost beyond their units: starting, memory, being replaced; and what a leak looks like from outside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from benchmarks.backbone.contenders import gaia_pool
from benchmarks.backbone.instruments import insist, median, percentile, unique_bytes
from gaia.contracts.unit import WorkUnit, value_of
from gaia.validator.app.compute.pool_settings import PoolSettings
from gaia.validator.app.machine.memory import AnonymousMemory

MIB: Final = 1024 * 1024
_UNIT_CPU_S: Final = 0.05
_RECYCLE_UNITS: Final = 20


class Starts(Struct, frozen=True, kw_only=True):
    """Worker starts: from the spawn to the moment at which it can take a unit."""

    start_s: float
    unique_bytes: int


async def starts(count: int) -> Starts:
    """Medians over workers started one at a time. Unique memory is that of a worker that has done one no-op unit."""
    times_s, sizes = [], []
    for _ in range(count):
        began = time.perf_counter()
        async with gaia_pool(1) as (pool, local):
            times_s.append(time.perf_counter() - began)
            value_of(await pool.run(WorkUnit(handler="echo", payload={})))
            sizes.append(unique_bytes(local.pid(0) or 0))
    return Starts(start_s=median(times_s), unique_bytes=int(median(sizes)))


async def recycling_ratio(rounds: int, units: int) -> float:
    """Throughput with a worker replaced every 20 units, to that without; median over rounds.

    Units compute for 50 ms, a fraction of what a score unit takes; two workers and one warm spare.
    """
    with_s: list[float] = []
    without_s: list[float] = []
    recycling = PoolSettings(recycle_units=_RECYCLE_UNITS)
    async with gaia_pool(2, recycling, spares=1) as (first, _), gaia_pool(2, PoolSettings(), spares=1) as (second, _):
        for _ in range(rounds):
            for pool, times_s in ((first, with_s), (second, without_s)):
                began = time.perf_counter()
                payload = {"cpu_s": _UNIT_CPU_S}
                results = await asyncio.gather(
                    *(pool.run(WorkUnit(handler="compute", payload=payload)) for _ in range(units))
                )
                times_s.append(time.perf_counter() - began)
                insist(all(result.ok for result in results), "a unit failed")
        insist(first.statistics().retired > 0, "nobody was recycled")
        insist(first.statistics().workers_lost == 0, "a worker was lost")
    return median([b / a for a, b in zip(with_s, without_s, strict=True)])


class Leak(Struct, frozen=True, kw_only=True):
    """Anonymous memory of the workers of a pool whose handler leaks, unit by unit."""

    soft_bytes: int
    workers: Sequence[int]
    """Pid of whoever did the unit."""
    anonymous_bytes: Sequence[int]
    """Of that worker, right after it."""
    engine_bytes: Sequence[int]
    """Of this process, at the same moment."""
    lost: int
    retired: int

    def baseline_bytes(self, part: slice) -> float:
        """What workers had at their first unit: the median over those that began in a part of the run."""
        seen: set[int] = set()
        first = []
        for pid, size in zip(self.workers[part], self.anonymous_bytes[part], strict=True):
            if pid not in seen:
                seen.add(pid)
                first.append(size)
        return median(first[2:] or first)  # the first two may have begun before this part


async def leaking(units: int) -> Leak:
    """So many units that leak 1 MB each, workers replaced past a soft limit, with one warm spare."""
    soft_bytes = 200 * MIB
    workers, sizes, engine = [], [], []
    memory = AnonymousMemory(_own_pid())
    async with gaia_pool(2, PoolSettings(worker_soft_memory_bytes=soft_bytes), spares=1) as (pool, _):
        left = iter(range(units))

        async def caller() -> None:
            for _ in left:
                value = value_of(await pool.run(WorkUnit(handler="leak", payload={"bytes": 1_000_000})))
                workers.append(value["pid"])
                sizes.append(value["anonymous_bytes"])
                engine.append(memory.read_bytes())

        await asyncio.gather(*(caller() for _ in range(4)))
        statistics = pool.statistics()
    memory.close()
    return Leak(
        soft_bytes=soft_bytes,
        workers=workers,
        anonymous_bytes=sizes,
        engine_bytes=engine,
        lost=units - len(sizes),
        retired=statistics.retired,
    )


def _own_pid() -> int:
    return int(Path("/proc/self").resolve().name)


def plot(leak: Leak, page: Path) -> None:
    """The saw-tooth of the first 1,500 units, and the tooth's foot over the whole run."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure, (near, far) = plt.subplots(2, 1, figsize=(9, 6), constrained_layout=True)
    mib = [size / MIB for size in leak.anonymous_bytes]
    shown = min(len(mib), 1_500)
    for pid in dict.fromkeys(leak.workers[:shown]):
        units = [number for number in range(shown) if leak.workers[number] == pid]
        near.plot(units, [mib[number] for number in units], linewidth=1)
    near.axhline(leak.soft_bytes / MIB, color="black", linestyle=":", linewidth=1)
    near.set(ylabel="worker, MiB", title=f"{len(mib):,} units that leak 1 MB each; a colour is a worker's life", ylim=0)
    near.text(0, leak.soft_bytes / MIB, " soft limit", va="bottom")
    far.plot(mib, linestyle="", marker=".", markersize=0.6, color="tab:blue", label="workers")
    far.plot([size / MIB for size in leak.engine_bytes], linewidth=1, color="tab:red", label="IO-Engine")
    far.set(xlabel="units done", ylabel="MiB", ylim=0)
    far.legend(loc="upper right")
    figure.savefig(page, dpi=110)


class Leaps(Struct, frozen=True, kw_only=True):
    """How far a unit that takes memory at full speed gets past the hard limit."""

    hard_bytes: int
    typical_bytes: float
    worst_bytes: float
    kills: int


async def leaps(kills: int) -> Leaps:
    """Watched from outside by reading the worker's memory as fast as this process can, until it dies."""
    hard_bytes = 300 * MIB
    over = []
    async with gaia_pool(2, PoolSettings(worker_hard_memory_bytes=hard_bytes), spares=1) as (pool, local):
        for _ in range(kills):
            unit = asyncio.create_task(pool.run(WorkUnit(handler="seize", payload={"step_bytes": MIB}, timeout_s=60.0)))
            highest = 0
            watched = [AnonymousMemory(pid) for slot in range(3) if (pid := local.pid(slot)) is not None]
            while not unit.done():
                highest = max(highest, *(memory.read_bytes() for memory in watched))
                await asyncio.sleep(0.001)
            for memory in watched:
                memory.close()
            error = (await unit).error
            insist(error is not None and error.code == "memory_exceeded", f"not over its memory: {error}")
            over.append(highest - hard_bytes)
    return Leaps(
        hard_bytes=hard_bytes,
        typical_bytes=percentile(over, 50),
        worst_bytes=max(over),
        kills=pool.statistics().memory_exceeded,
    )
