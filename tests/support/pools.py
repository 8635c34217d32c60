"""A compute pool with its own workers, for tests."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from gaia.validator.app.compute.compute_pool import ComputePool
from gaia.validator.app.compute.local_workers import LocalWorkers
from gaia.validator.app.compute.pool_settings import PoolSettings
from gaia.validator.app.compute.worker_launch import WorkerLaunch
from gaia.validator.app.processes.restart_policy import RestartPolicy

REGISTRY = "tests.support.compute_handlers:HANDLERS"
EAGER = RestartPolicy(first_delay_s=0.01, longest_delay_s=0.05, max_failures=1000)
"""Tests kill workers at their very start too, which must not count as a crash loop here."""


class RunningPool(Struct, frozen=True, kw_only=True):
    """A started pool and who works for it."""

    pool: ComputePool
    workers: LocalWorkers
    socket_path: Path


@asynccontextmanager
async def running_pool(
    workers: int = 2, settings: PoolSettings | None = None, *, registry: str = REGISTRY
) -> AsyncIterator[RunningPool]:
    """Start a pool and workers in a short-lived private folder; end both."""
    with tempfile.TemporaryDirectory(prefix="gaia-test-") as folder:
        path = Path(folder) / "compute.sock"
        settings = settings or PoolSettings()
        pool = ComputePool(socket_path=path, settings=settings)
        await pool.start()
        try:
            launch = WorkerLaunch(
                socket_path=path,
                cache_dir=Path(folder),
                registry=registry,
                worker_hard_memory_bytes=settings.worker_hard_memory_bytes,
            )
            async with LocalWorkers(workers, launch, policy=EAGER, grace_s=5.0) as local:
                try:
                    yield RunningPool(pool=pool, workers=local, socket_path=path)
                finally:
                    await pool.drain(0.0)
        finally:
            await pool.close()
