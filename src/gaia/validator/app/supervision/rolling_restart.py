"""Replaces the workers one after the other, for new code or settings, while the others work on.

Asks, never kills: a worker finishes the unit that it has. Owned and driven by the supervisor's loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from gaia.validator.app.processes.child import Child
from gaia.validator.app.processes.child_slot import ChildSlot
from gaia.validator.app.telemetry.event_log import EventLog

_PATIENCE_S: Final = 600.0
"""A worker that has not gone by then goes when it can; the others need not wait for it."""


class RollingRestart:
    """At most one worker at a time is on its way out or its successor on its way in."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._waiting: deque[ChildSlot] = deque()
        self._leaving: tuple[ChildSlot, Child] | None = None
        self._since = 0.0

    @property
    def active(self) -> bool:
        """Whether there is anybody left to replace."""
        return self._leaving is not None or bool(self._waiting)

    def begin(self, slots: Iterable[ChildSlot]) -> None:
        """Replace whoever fills these slots now; one that was begun before starts over."""
        self._waiting = deque(slots)
        self._log.info("rolling_restart_begun", workers=len(self._waiting))

    def advance(self, now: float) -> None:
        """Go on as far as possible without waiting."""
        while self.active:
            if self._leaving is not None and not self._is_replaced(*self._leaving, now):
                return
            self._leaving = None
            self._send_next_away(now)
            if not self.active:
                self._log.info("rolling_restart_done")

    def _send_next_away(self, now: float) -> None:
        while self._waiting:
            slot = self._waiting.popleft()
            if slot.child is not None:  # else its next one is new anyway
                self._leaving, self._since = (slot, slot.child), now
                slot.renew()
                return

    def _is_replaced(self, slot: ChildSlot, old: Child, now: float) -> bool:
        if slot.child is not None and slot.child is not old and slot.child.said_ready:
            return True
        if slot.given_up:
            return True
        if now - self._since > _PATIENCE_S:
            self._log.warning("worker_not_renewed", slot=slot.number, waited_s=_PATIENCE_S)
            return True
        return False
