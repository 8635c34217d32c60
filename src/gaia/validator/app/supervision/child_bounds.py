"""What the supervisor holds its children to: an engine's silence, a worker's memory.

Condemns a child that is past its bound, for another one to take its place; starts nobody and waits for nobody.
"""

from __future__ import annotations

import time
from typing import Final

from gaia.validator.app.machine.memory import ProcessUsage
from gaia.validator.app.processes.child import Child
from gaia.validator.app.processes.child_slot import ChildRole, ChildSlot
from gaia.validator.app.telemetry.event_log import EventLog
from gaia.validator.utils.settings import Settings

_ENGINE_START_S: Final = 180.0  # it may wait for a database and a chain that are slow to answer
_MEMORY_BACKSTOP: Final = 1.5  # times the hard limit: the engine, which knows whom to blame, comes first


class ChildBounds:
    """The bounds that these settings give."""

    def __init__(self, settings: Settings, log: EventLog) -> None:
        self._engine_stall_limit_s = settings.engine_stall_limit_s
        self._log = log
        self.memory_bytes = int(_MEMORY_BACKSTOP * settings.worker_hard_memory_bytes)
        """Of each worker."""

    def hold_to_talk(self, engine: Child) -> None:
        """An engine whose loop is stuck tells nothing; by now it has written its stack to stderr itself."""
        silent_s = time.monotonic() - engine.heard_at
        limit_s = self._engine_stall_limit_s if engine.said_ready else _ENGINE_START_S
        if silent_s > limit_s and not engine.condemned:
            self._log.error("engine_stalled", pid=engine.pid, silent_s=round(silent_s, 1), limit_s=limit_s)
            engine.condemn()

    def hold_to_memory(self, slot: ChildSlot, usage: ProcessUsage | None) -> None:
        """Backstop: should the engine be too busy to look at its workers' memory, this is their limit."""
        child = slot.child
        if slot.role is not ChildRole.WORKER or child is None or usage is None or child.condemned:
            return
        if usage.anonymous_bytes > self.memory_bytes:
            self._log.error(
                "worker_over_memory", slot=slot.number, pid=child.pid, memory_mib=usage.anonymous_bytes >> 20
            )
            child.condemn()
