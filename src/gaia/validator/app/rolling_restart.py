"""Replaces the workers one after the other, for new code or settings, while the others work on.

Asks, never kills: a worker finishes the unit that it has. Owned and driven by the supervisor's loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from gaia.validator.app.children import Child
from gaia.validator.app.event_log import EventLog
from gaia.validator.app.post import Post

_PATIENCE_S: Final = 600.0
"""A worker that has not gone by then goes when it can; the others need not wait for it."""


class RollingRestart:
    """At most one worker at a time is on its way out or its successor on its way in."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._waiting: deque[Post] = deque()
        self._leaving: tuple[Post, Child] | None = None
        self._since = 0.0

    @property
    def active(self) -> bool:
        """Whether there is anybody left to replace."""
        return self._leaving is not None or bool(self._waiting)

    def begin(self, posts: Iterable[Post]) -> None:
        """Replace whoever fills these posts now; one that was begun before starts over."""
        self._waiting = deque(posts)
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
            post = self._waiting.popleft()
            if post.child is not None:  # else its next one is new anyway
                self._leaving, self._since = (post, post.child), now
                post.renew()
                return

    def _is_replaced(self, post: Post, old: Child, now: float) -> bool:
        if post.child is not None and post.child is not old and post.child.said_ready:
            return True
        if post.given_up:
            return True
        if now - self._since > _PATIENCE_S:
            self._log.warning("worker_not_renewed", slot=post.slot, waited_s=_PATIENCE_S)
            return True
        return False
