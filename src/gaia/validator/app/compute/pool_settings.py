"""The bounds that a compute pool is given at its start."""

from __future__ import annotations

from msgspec import Struct


class PoolSettings(Struct, frozen=True, kw_only=True):
    """The bounds of a pool. Memory is each worker's anonymous resident memory; None: no bound."""

    compute_workers: int | None = None
    """So many work at once; who dials in above that stands by, warm, and a worn-out worker leaves only when one does.
    None: all work; a worn-out one leaves, and the next when its replacement has come."""
    queue_capacity: int = 1000
    """So many units may wait; then `run` waits too."""
    recycle_units: int | None = None
    """A worker is replaced after about so many units (+- 20 %, so that they do not all go at once)."""
    worker_soft_memory_bytes: int | None = None
    """Past it a worker is replaced after its unit, once another stands by; past 1.25 times it, at once."""
    worker_hard_memory_bytes: int | None = None
    """Past it a worker is killed and its unit fails."""
    sample_s: float = 0.05
    """How often deadlines and memory of busy workers are looked at."""
