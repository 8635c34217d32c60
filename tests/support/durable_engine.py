"""An engine over durable jobs for tests of the supervisor: `python -m tests.support.durable_engine --socket PATH ...`.

Does jobs of the kind `fault.unit` with the real queue, dispatcher and pool; each commits one row of `applied`, a table
without any key, so that a second application would show. The settings on its stdin say where.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import structlog
import uvloop

from gaia.contracts.clock import SystemClock
from gaia.contracts.job import Job
from gaia.contracts.parent_death import die_with_parent
from gaia.contracts.unit import UnitFailed, WorkUnit, value_of
from gaia.tasks.defined_tasks.base import TaskContext, TaskResult
from gaia.validator.app.compute.compute_pool import ComputePool
from gaia.validator.app.jobs.dispatcher import Dispatcher
from gaia.validator.app.machine.disk_space import DiskSpace
from gaia.validator.db.pool import DatabasePool
from gaia.validator.db.queue import PostgresQueue
from gaia.validator.utils.settings import Settings

KIND = "fault.unit"
CONCURRENCY = 20
LEASE = timedelta(seconds=30)


async def work(socket_path: Path, settings: Settings, status_fd: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    database = await DatabasePool.connect(
        settings.database_dsn, min_size=2, max_size=8, connect_timeout_s=30, command_timeout_s=30
    )
    queue = PostgresQueue(database, owner="engine", lease=LEASE)
    pool = ComputePool(socket_path=socket_path)

    async def step(job: Job, _: TaskContext) -> TaskResult:
        result = await pool.run(WorkUnit(handler="stamp", payload=job.payload, unit_id=job.key))
        if result.error is not None:
            raise UnitFailed(result.error)
        async with queue.completing(job) as conn:
            await conn.execute("INSERT INTO applied VALUES ($1, $2)", value_of(result)["name"], os.getpid())
        return TaskResult(event="unit_applied")

    await pool.start()
    await queue.reclaim()
    os.write(status_fd, b"\x01")
    context: Any = SimpleNamespace(clock=SystemClock())  # all of it that a dispatcher needs
    disk = DiskSpace(settings.data_dir, structlog.get_logger("disk_space"))
    dispatcher = Dispatcher(
        queue=queue,
        steps={KIND: step},
        context=cast(TaskContext, context),
        concurrency=CONCURRENCY,
        lease=LEASE,
        may_begin=lambda: not disk.look(),
    )
    await dispatcher.run(stop, 5.0)
    await pool.close()
    await database.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--ppid", type=int, required=True)
    parser.add_argument("--status-fd", type=int, required=True)
    options = parser.parse_args()
    die_with_parent(options.ppid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    uvloop.run(work(options.socket, Settings.from_json(sys.stdin.buffer.read()), options.status_fd))


if __name__ == "__main__":
    main()
