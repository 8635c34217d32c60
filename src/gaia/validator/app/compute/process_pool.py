"""A pool of worker processes in one `async with`, for a program without a supervisor.

Owns the private socket, the pool and its workers. Main thread only, because the parent-death signal depends on the
spawning thread.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Self

import msgspec

from gaia.contracts.progress import Progress
from gaia.contracts.unit import ResultUnit, WorkUnit
from gaia.validator.app.compute.compute_pool import ComputePool
from gaia.validator.app.compute.local_workers import LocalWorkers
from gaia.validator.app.compute.pool_settings import PoolSettings
from gaia.validator.app.compute.worker_launch import WorkerLaunch
from gaia.validator.app.processes.restart_policy import RestartPolicy
from gaia.validator.app.telemetry.pool_statistics import PoolStatistics


class ProcessPool:
    """A ComputeBackend. At the end of the block running units fail, and all processes end."""

    def __init__(
        self,
        registry: str,
        *,
        compute_workers: int,
        compute_spares: int = 0,
        settings: PoolSettings | None = None,
        cache_dir: Path | None = None,
        restart: RestartPolicy | None = None,
    ) -> None:
        """Prepare a pool; `async with` starts it.

        Args:
            registry: The handlers, in the form that `HandlerRegistry` takes.
            compute_workers: The number of workers that work at once.
            compute_spares: The number of additional workers, which take over when a worker is replaced.
            settings: The limits of the pool.
            cache_dir: The folder for compiled code. None: a temporary folder of this pool.
            restart: How often a worker that fails is started again.
        """
        self._registry = registry
        self._compute_workers = compute_workers
        self._compute_spares = compute_spares
        self._settings = settings if settings is not None else PoolSettings()
        self._cache_dir = cache_dir
        self._restart = restart
        self._stack = contextlib.AsyncExitStack()
        self._pool: ComputePool

    async def __aenter__(self) -> Self:
        """Start the workers. Units may be submitted at once, and wait for a worker. Raises ConfigurationError."""
        async with contextlib.AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gaia-pool-")))
            socket_path = folder / "compute.sock"
            settings = self._settings
            if self._compute_spares:
                settings = msgspec.structs.replace(settings, compute_workers=self._compute_workers)
            self._pool = ComputePool(socket_path=socket_path, settings=settings)
            await self._pool.start()
            stack.push_async_callback(self._pool.close)
            launch = WorkerLaunch(
                socket_path=socket_path,
                cache_dir=self._cache_dir or folder,
                registry=self._registry,
                worker_hard_memory_bytes=settings.worker_hard_memory_bytes,
            )
            await stack.enter_async_context(
                LocalWorkers(
                    self._compute_workers + self._compute_spares,
                    launch,
                    policy=self._restart,
                    on_all_given_up=self._pool.refuse,
                )
            )
            # This runs before the workers are asked to end: a busy one would first finish its unit.
            stack.push_async_callback(self._pool.drain, 0.0)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def run(self, unit: WorkUnit, on_progress: Callable[[Progress], None] | None = None) -> ResultUnit:
        """Run a unit and wait for its result. A failure is a result with an error. See `ComputePool.run`."""
        return await self._pool.run(unit, on_progress)

    def queue_depth(self) -> int:
        """The number of units that wait for a worker."""
        return self._pool.queue_depth()

    def statistics(self) -> PoolStatistics:
        """The present state of the pool, and its counters."""
        return self._pool.statistics()
