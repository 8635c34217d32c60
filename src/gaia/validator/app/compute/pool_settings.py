"""The limits of a compute pool."""

from __future__ import annotations

from msgspec import Struct


class PoolSettings(Struct, frozen=True, kw_only=True):
    """The limits of a pool. Memory is each worker's anonymous resident memory; None: no limit."""

    compute_workers: int | None = None
    """The number of workers that work at once. The other connected workers are spares. A worker that is due for
    replacement leaves only while there is a spare. None: all work, and they are replaced one after another."""
    queue_capacity: int = 1000
    """The number of units that may wait. If it is reached, `run` itself waits."""
    recycle_units: int | None = None
    """A worker is replaced after about this number of units (+- 20 %, so that they are not all replaced at once)."""
    worker_soft_memory_bytes: int | None = None
    """A worker that uses more is replaced after its unit, when there is a spare. Above 1.25 times this: at once."""
    worker_hard_memory_bytes: int | None = None
    """A worker that uses more is killed, and its unit fails."""
    sample_s: float = 0.05
    """How often deadlines and memory of busy workers are checked, in seconds."""
