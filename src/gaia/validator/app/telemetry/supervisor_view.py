"""The state that the supervisor sees, as one immutable value. Its metrics thread may read it at any time."""

from __future__ import annotations

from msgspec import Struct

from gaia.validator.app.machine.memory import ProcessUsage
from gaia.validator.app.telemetry.engine_snapshot import EngineSnapshot


class ChildView(Struct, frozen=True, kw_only=True):
    """One slot for a child process: a role and a number, and the present child's usage."""

    role: str
    slot: int
    restarts: int
    given_up: bool
    """Whether the slot stays empty. The validator then runs with fewer workers than set."""
    usage: ProcessUsage | None
    """None while the slot is empty."""


class SupervisorView(Struct, frozen=True, kw_only=True):
    """All slots, and the IO-Engine's last snapshot."""

    children: tuple[ChildView, ...] = ()
    engine: EngineSnapshot | None = None
    disk_free_bytes: int | None = None
    """The free space on the disk of the data folder; None if it cannot be read."""
