"""When a child that ended is started again, and when that is given up. Pure: time comes in as numbers."""

from __future__ import annotations

from collections import deque

from msgspec import Struct


class RestartPolicy(Struct, frozen=True, kw_only=True):
    """Exponential back-off, and restart intensity: more than `max_failures` within `window_s` is too many.

    A child that lived `steady_s` starts again from the first delay; one whose end was its unit's failure or our doing,
    if it lived `steady_if_blameless_s`: a row of units that time out must not leave the others without workers.
    """

    first_delay_s: float = 0.1
    longest_delay_s: float = 5.0
    steady_s: float = 30.0
    steady_if_blameless_s: float = 1.0
    max_failures: int = 10
    window_s: float = 60.0


class RestartHistory:
    """The ends of one child, slot by slot."""

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._quick_ends = 0
        self._failures: deque[float] = deque()

    def delay_after_end(
        self, *, now: float, lived_s: float, expected: bool, blameless: bool, excused: bool = False
    ) -> float | None:
        """Seconds until the next start; None when there have been too many failures.

        `expected`: it went because it was asked to, which costs nothing. `blameless`: its end is not a failure of
        its own, but of the unit of work that it was given, or it was killed by us. `excused`: nor does it count as
        one while the machine lacks what it needs.
        """
        if expected:
            self._quick_ends = 0
            return 0.0
        if not blameless and not excused:
            self._failures.append(now)
        while self._failures and now - self._failures[0] > self._policy.window_s:
            self._failures.popleft()
        if len(self._failures) > self._policy.max_failures:
            return None
        steady_s = self._policy.steady_if_blameless_s if blameless else self._policy.steady_s
        self._quick_ends = 0 if lived_s >= steady_s else self._quick_ends
        delay_s = min(self._policy.first_delay_s * 2.0**self._quick_ends, self._policy.longest_delay_s)
        self._quick_ends = min(self._quick_ends + 1, 60)
        return delay_s
