"""An IO-Engine with a worker of its own, to be killed: `python -m tests.support.lone_engine`, its settings on stdin."""

from __future__ import annotations

import asyncio
import os
import sys

import uvloop

from gaia.contracts.parent_death import die_with_parent
from gaia.validator.app.io_engine import IOEngine
from gaia.validator.app.logging_config import configure_logging
from gaia.validator.utils.settings import Settings


async def serve(settings: Settings) -> None:
    async with IOEngine(settings, local_workers=1) as engine:
        await engine.serve(asyncio.Event())


if __name__ == "__main__":
    die_with_parent(os.getppid())
    told = Settings.from_json(sys.stdin.buffer.read())
    configure_logging("json", "info", process="io-engine")
    uvloop.run(serve(told))
