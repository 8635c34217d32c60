"""What the supervisor sees, as one immutable value that its metrics thread may read at any time."""

from __future__ import annotations

from msgspec import Struct

from gaia.validator.app.machine.memory import ProcessUsage
from gaia.validator.app.telemetry.engine_snapshot import EngineSnapshot


class ChildView(Struct, frozen=True, kw_only=True):
    """One post: a role and a fixed slot, whoever fills it now."""

    role: str
    slot: int
    restarts: int
    given_up: bool
    """Whether it stays empty: the validator runs, but with less than it was given."""
    usage: ProcessUsage | None
    """None while nobody fills it."""


class SupervisorView(Struct, frozen=True, kw_only=True):
    """All posts, and the last that the IO-Engine has told."""

    children: tuple[ChildView, ...] = ()
    engine: EngineSnapshot | None = None
    disk_free_bytes: int | None = None
    """On the disk of the data folder; None if it cannot be asked."""
