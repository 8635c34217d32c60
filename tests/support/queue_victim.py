"""A process to be killed: `python -m tests.support.queue_victim DSN` claims a job and stops inside its completion."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

from gaia.validator.db.pool import DatabasePool
from gaia.validator.db.queue import PostgresQueue


async def main(dsn: str) -> None:
    """Print the job's fence once its effects are written but not committed, then wait for the end."""
    pool = await DatabasePool.connect(dsn, min_size=1, max_size=2, connect_timeout_s=30, command_timeout_s=30)
    queue = PostgresQueue(pool, owner="victim", lease=timedelta(seconds=30))
    (job,) = await queue.claim(["score"], 1)
    async with queue.completing(job) as conn:
        await conn.execute("INSERT INTO effect VALUES ('from the victim')")
        sys.stdout.write(f"{job.fence}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
