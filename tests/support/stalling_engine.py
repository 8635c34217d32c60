"""An engine that tells the supervisor about itself until its loop is stopped by a file: for tests of the watchdog."""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

from gaia.contracts.clock import SystemClock
from gaia.contracts.parent_death import die_with_parent
from gaia.validator.app.services.event_loop_lag import LoopLagMonitor
from gaia.validator.app.services.loop_stall import StallReporter
from gaia.validator.app.telemetry.engine_snapshot import EngineSnapshot, SnapshotSender


async def stall_when_told(told: Path, sender: SnapshotSender) -> None:
    """Stalls once: the file is gone then, and the next engine goes on."""
    lag = LoopLagMonitor(SystemClock())
    lag.start()
    with StallReporter(SystemClock(), 0.2):
        while True:
            sender.send(EngineSnapshot(monotonic_s=time.monotonic(), loop_lag=lag.snapshot()))
            if told.exists():
                told.unlink()
                the_loop_is_stuck_here()
            await asyncio.sleep(0.05)


def the_loop_is_stuck_here() -> None:
    time.sleep(600)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--stall-at", type=Path, required=True)
    parser.add_argument("--ppid", type=int, required=True)
    parser.add_argument("--status-fd", type=int, required=True)
    options = parser.parse_args()
    die_with_parent(options.ppid)
    asyncio.run(stall_when_told(options.stall_at, SnapshotSender(options.status_fd)))
