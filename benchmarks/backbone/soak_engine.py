"""The engine of the soak, a child of the real supervisor: `python -m benchmarks.backbone.soak_engine --minutes N ...`.

Gives its pool small units, units that compute, leak and hang, counts the answers, and writes the tally once a second.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import time
from pathlib import Path
from typing import Final

import msgspec
import uvloop
from msgspec import Struct

from benchmarks.backbone.soak_supervisor import HARD_MEMORY_BYTES, MIB, WORKERS
from benchmarks.backbone.units import KILOBYTE
from gaia.contracts.clock import SystemClock
from gaia.contracts.parent_death import die_with_parent
from gaia.contracts.unit import WorkUnit
from gaia.validator.app.compute.compute_pool import ComputePool
from gaia.validator.app.compute.pool_settings import PoolSettings
from gaia.validator.app.services.event_loop_lag import LoopLagMonitor
from gaia.validator.app.telemetry.engine_snapshot import EngineSnapshot, SnapshotSender

_CALLERS: Final = 16
_LONGEST_UNIT_S: Final = 120.0
_TALLY_EVERY_S: Final = 1.0
_SETTINGS: Final = PoolSettings(
    compute_workers=WORKERS,
    recycle_units=2_000,
    worker_soft_memory_bytes=200 * MIB,
    worker_hard_memory_bytes=HARD_MEMORY_BYTES,
    queue_capacity=100,
)


class Tally(Struct, kw_only=True):
    """What has come of the units so far."""

    asked: int = 0
    answered: int = 0
    unexpected: list[str] = msgspec.field(default_factory=list)
    lost_workers: int = 0
    retired: int = 0
    timed_out: int = 0
    stale_results: int = 0
    finished: bool = False


def _next_unit(chance: random.Random) -> tuple[WorkUnit, str | None]:
    """A unit, and the error that it must end with."""
    draw = chance.random()
    if draw < 0.0005:
        return WorkUnit(handler="compute", payload={"cpu_s": 600.0}, timeout_s=0.5), "unit_timed_out"
    if draw < 0.01:
        return WorkUnit(handler="leak", payload={"bytes": 1_000_000}, max_attempts=20), None
    if draw < 0.1:
        return WorkUnit(handler="compute", payload={"cpu_s": 0.005}, max_attempts=20), None
    return WorkUnit(handler="echo", payload=KILOBYTE, max_attempts=20), None


async def _call(pool: ComputePool, tally: Tally, seed: int, until_s: float, pause_s: float) -> None:
    chance = random.Random(seed)  # noqa: S311  a load, not a secret
    while time.monotonic() < until_s:
        unit, expected = _next_unit(chance)
        tally.asked += 1
        async with asyncio.timeout(_LONGEST_UNIT_S):
            result = await pool.run(unit)
        tally.answered += 1
        code = result.error.code if result.error is not None else None
        if result.unit_id != unit.unit_id or code != expected:
            tally.unexpected.append(f"{unit.handler}: {code} instead of {expected}")
        if pause_s:
            await asyncio.sleep(chance.uniform(0.0, 2 * pause_s))


async def _report(pool: ComputePool, tally: Tally, page: Path, sender: SnapshotSender) -> None:
    lag = LoopLagMonitor(SystemClock())
    lag.start()
    while True:
        _write(pool, tally, page)
        sender.send(EngineSnapshot(monotonic_s=time.monotonic(), loop_lag=lag.snapshot()))
        await asyncio.sleep(_TALLY_EVERY_S)


def _write(pool: ComputePool, tally: Tally, page: Path) -> None:
    statistics = pool.statistics()
    tally.lost_workers, tally.retired = statistics.workers_lost, statistics.retired
    tally.timed_out, tally.stale_results = statistics.timed_out, statistics.stale_results
    draft = page.with_suffix(".draft")
    draft.write_bytes(msgspec.json.encode(tally))
    draft.rename(page)


async def work(socket_path: Path, page: Path, status_fd: int, *, minutes: float, pause_s: float) -> None:
    """Load for so long, every caller pausing between two units, then wait to be stopped."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    pool, tally = ComputePool(socket_path=socket_path, settings=_SETTINGS), Tally()
    await pool.start()
    reporter = asyncio.create_task(_report(pool, tally, page, SnapshotSender(status_fd)))
    until_s = time.monotonic() + 60.0 * minutes
    await asyncio.gather(*(_call(pool, tally, seed, until_s, pause_s) for seed in range(_CALLERS)))
    tally.finished = True
    await stop.wait()
    reporter.cancel()
    _write(pool, tally, page)
    await pool.close()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--pause-s", type=float, required=True)
    parser.add_argument("--ppid", type=int, required=True)
    parser.add_argument("--status-fd", type=int, required=True)
    options = parser.parse_args()
    die_with_parent(options.ppid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    uvloop.run(work(options.socket, options.page, options.status_fd, minutes=options.minutes, pause_s=options.pause_s))


if __name__ == "__main__":
    main()
