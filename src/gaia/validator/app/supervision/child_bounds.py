"""The supervisor's limits for its children: how long the engine may be silent, how much memory a worker may use.

Kills a child that exceeds its limit; the supervisor then replaces it. Starts no process and never waits.
"""

from __future__ import annotations

import time
from typing import Final

from gaia.validator.app.machine.memory import ProcessUsage
from gaia.validator.app.processes.child import Child
from gaia.validator.app.processes.child_slot import ChildRole, ChildSlot
from gaia.validator.app.telemetry.event_log import EventLog
from gaia.validator.utils.settings import Settings

_ENGINE_START_S: Final = 180.0  # it may wait for a slow database or chain
_MEMORY_BACKSTOP: Final = 1.5  # times the hard limit; below that the engine acts, which knows the guilty unit


class ChildBounds:
    """The limits that follow from the settings."""

    def __init__(self, settings: Settings, log: EventLog) -> None:
        self._engine_stall_limit_s = settings.engine_stall_limit_s
        self._log = log
        self.memory_bytes = int(_MEMORY_BACKSTOP * settings.worker_hard_memory_bytes)
        """Of each worker."""

    def hold_to_talk(self, engine: Child) -> None:
        """Kill an engine that has been silent for too long: its loop is stuck. It has written its stack to stderr."""
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
