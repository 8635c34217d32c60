"""Shows where the event loop is stuck: writes the stacks of all threads to stderr.

Does nothing else; the supervisor ends an engine that stays stuck. The stacks come from faulthandler's own thread. It
needs neither the loop nor the interpreter's lock, so it also shows a loop that is stuck in C code.
"""

from __future__ import annotations

import asyncio
import faulthandler
import sys
from typing import Final, Self

import structlog

from gaia.contracts.clock import Clock

_REARMED_EVERY_S: Final = 1.0


class StallReporter:
    """A timer that the loop restarts every second. If the loop is stuck, the timer fires and writes the stacks."""

    def __init__(self, clock: Clock, after_s: float) -> None:
        self._clock = clock
        self._after_s = after_s
        self._armed_at: float | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._log = structlog.get_logger("event_loop")

    def __enter__(self) -> Self:
        """Start the timer in the running loop."""
        self._loop = asyncio.get_running_loop()
        self._arm()
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        faulthandler.cancel_dump_traceback_later()

    def _arm(self) -> None:
        now = self._clock.monotonic()
        if self._armed_at is not None and now - self._armed_at > self._after_s:
            self._log.error("event_loop_stalled", stalled_s=round(now - self._armed_at, 3))
        self._armed_at = now
        faulthandler.dump_traceback_later(self._after_s, repeat=False, file=sys.stderr)
        self._handle = self._loop.call_later(min(_REARMED_EVERY_S, self._after_s / 2), self._arm)
