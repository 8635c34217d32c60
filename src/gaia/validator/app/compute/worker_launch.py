"""Starts a compute worker: builds its command line and its environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from msgspec import Struct

from gaia.validator.app.machine.bytecode import keeping
from gaia.validator.app.processes.child import Child, python_module

_DATA_LIMIT_FACTOR: Final = 3
"""RLIMIT_DATA also counts reserved memory, so it is well above the limit of resident memory."""

_SINGLE_THREADED: Final = dict.fromkeys(
    (
        *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"),
        *("NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS", "BLOSC_NTHREADS"),
    ),
    "1",
)


class WorkerLaunch(Struct, frozen=True, kw_only=True):
    """The options with which all compute workers of a pool are started."""

    socket_path: Path
    cache_dir: Path
    """The folder for compiled kernels, and for compiled modules that do not lie beside their sources."""
    registry: str
    """The handlers of the worker, in the form that `HandlerRegistry` takes."""
    worker_hard_memory_bytes: int | None = None

    def spawn(self, slot: int) -> Child:
        """Start the worker in `slot`. It does not get the database's address."""
        return Child.spawn(self.argv(slot), environment=self.environment(), without=("DATABASE_URL",), with_status=True)

    def argv(self, slot: int) -> list[str]:
        """The command line of the worker in `slot`."""
        limit = (
            [] if self.worker_hard_memory_bytes is None else [str(_DATA_LIMIT_FACTOR * self.worker_hard_memory_bytes)]
        )
        argv = [
            *python_module("gaia.validator.app.compute.compute_worker", "--socket", str(self.socket_path)),
            *("--slot", str(slot), "--ppid", str(os.getpid()), "--registry", self.registry),
            *(part for value in limit for part in ("--data-limit-bytes", value)),
        ]
        return keeping(argv, self.cache_dir)

    def environment(self) -> dict[str, str]:
        """The variables to add to the inherited ones. They must be set before numpy is imported."""
        return {
            **_SINGLE_THREADED,
            "NUMBA_CACHE_DIR": str(self.cache_dir / "numba"),
        }
