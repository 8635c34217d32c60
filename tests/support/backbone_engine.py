"""A small engine for tests of the supervisor: `python -m tests.support.backbone_engine --folder DIR ...`.

Works through unit files in `DIR/units`, in the order of their names, and links each result into `DIR/results` before
it removes the unit: what a killed engine leaves is done by the next, and no result is ever replaced. A unit for the
handler `block_the_loop` blocks this process itself. Listens where the supervisor's workers dial.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

import msgspec
import uvloop

from gaia.contracts.clock import SystemClock
from gaia.contracts.parent_death import die_with_parent
from gaia.contracts.unit import WorkUnit
from gaia.validator.app.compute.compute_pool import ComputePool
from gaia.validator.app.services.event_loop_lag import LoopLagMonitor
from gaia.validator.app.telemetry.engine_snapshot import EngineSnapshot, SnapshotSender

GRACE_S = 5.0


async def work(folder: Path, socket_path: Path, status_fd: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    pool = ComputePool(socket_path=socket_path)
    lag = LoopLagMonitor(SystemClock())
    sender = SnapshotSender(status_fd)
    await pool.start()
    lag.start()
    in_progress: dict[Path, asyncio.Task[None]] = {}
    while not stop.is_set():
        for path in sorted((folder / "units").glob("*.json")):
            if path not in in_progress:
                in_progress[path] = asyncio.create_task(do(pool, path, folder / "results"))
        statistics = pool.statistics()
        sender.send(
            EngineSnapshot(
                monotonic_s=time.monotonic(),
                loop_lag=lag.snapshot(),
                queue_depths={"compute": pool.queue_depth()},
                compute_durations=statistics.durations,
                units_done=statistics.units_done,
            )
        )
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.05)
    await pool.drain(GRACE_S)
    await asyncio.gather(*in_progress.values())
    await pool.close()
    lag.stop()
    sender.close()


async def do(pool: ComputePool, path: Path, results: Path) -> None:
    if (results / path.name).exists():  # the engine before was killed between the last two lines
        path.unlink()
        return
    unit = msgspec.json.decode(path.read_bytes(), type=WorkUnit)
    if unit.handler == "block_the_loop":
        path.unlink()
        time.sleep(unit.payload["pause_s"])
        return
    result = await pool.run(unit)
    if result.error is not None and result.error.code == "pool_closed":
        return  # the next engine's
    draft = results / f".{path.name}"
    draft.write_bytes(msgspec.json.encode(result))
    os.link(draft, results / path.name)  # fails if there is one
    draft.unlink()
    path.unlink()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--ppid", type=int, required=True)
    parser.add_argument("--status-fd", type=int, required=True)
    options = parser.parse_args()
    die_with_parent(options.ppid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    uvloop.run(work(options.folder, options.socket, options.status_fd))


if __name__ == "__main__":
    main()
