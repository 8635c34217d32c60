"""When a child that ended is started again, and when that is given up. Pure: time comes in as numbers."""

from __future__ import annotations

from collections import deque

from msgspec import Struct


class RestartPolicy(Struct, frozen=True, kw_only=True):
    """Exponential back-off, and restart intensity: more than `max_failures` within `window_s` is too many.

    A child that lived `steady_s` starts again from the first delay.
    """

    first_delay_s: float = 0.1
    longest_delay_s: float = 5.0
    steady_s: float = 30.0
    max_failures: int = 10
    window_s: float = 60.0


class RestartHistory:
    """The ends of one child, slot by slot."""

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._quick_ends = 0
        self._failures: deque[float] = deque()

    def delay_after_end(self, *, now: float, lived_s: float, expected: bool, counts: bool) -> float | None:
        """Seconds until the next start; None when there have been too many failures.

        `expected`: it went because it was asked to, which costs nothing. `counts`: whether this end is a
        failure of the child itself, and not, say, of the unit of work that it was given.
        """
        if expected:
            self._quick_ends = 0
            return 0.0
        if counts:
            self._failures.append(now)
        while self._failures and now - self._failures[0] > self._policy.window_s:
            self._failures.popleft()
        if len(self._failures) > self._policy.max_failures:
            return None
        self._quick_ends = 0 if lived_s >= self._policy.steady_s else self._quick_ends
        delay_s = min(self._policy.first_delay_s * 2.0**self._quick_ends, self._policy.longest_delay_s)
        self._quick_ends = min(self._quick_ends + 1, 60)
        return delay_s
