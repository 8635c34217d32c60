"""Decides when a child that ended is started again, and when to give up. Pure: time comes in as numbers."""

from __future__ import annotations

from collections import deque

from msgspec import Struct


class RestartPolicy(Struct, frozen=True, kw_only=True):
    """Exponential back-off, and a limit of the restart intensity: more than `max_failures` in `window_s` is too many.

    The delay starts again at the first one after a child has lived `steady_s`. If its unit or the validator caused its
    end, `steady_if_blameless_s` is enough, so that a series of units that time out leaves workers for the others.
    """

    first_delay_s: float = 0.1
    longest_delay_s: float = 5.0
    steady_s: float = 30.0
    steady_if_blameless_s: float = 1.0
    max_failures: int = 10
    window_s: float = 60.0


class RestartHistory:
    """The ends of the children of one slot."""

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._quick_ends = 0
        self._failures: deque[float] = deque()

    def delay_after_end(
        self, *, now: float, lived_s: float, expected: bool, blameless: bool, excused: bool = False
    ) -> float | None:
        """The seconds until the next start; None after too many failures.

        Args:
            now: The time (monotonic).
            lived_s: How long the child lived.
            expected: It was asked to end. This has no cost.
            blameless: Its unit of work caused the end, or we killed it. This is no failure, but it delays the restart.
            excused: The machine lacks something that the child needs. This is no failure either.
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
