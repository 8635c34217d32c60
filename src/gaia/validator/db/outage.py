"""An outage, in which the database does not answer: decides how long to wait before each new try, and what to log.

Pure: time comes in as numbers. Owns the back-off of a service loop. Never waits or writes to a log itself.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 15.0
SAID_EVERY_S: Final = 60.0


class Missed(Struct, frozen=True, kw_only=True):
    """One try that failed."""

    tries: int
    """The number of failed tries in this outage, including this one."""
    lasted_s: float
    """The time since the first failed try."""
    retry_s: float
    """How long to wait before the next try."""
    worth_saying: bool
    """Whether to log it: true for the first try, and then once a minute."""


class Outage:
    """The outages of one connection or repeated query. An outage begins with a failure and ends with a success."""

    def __init__(self, *, first_wait_s: float = FIRST_WAIT_S, longest_wait_s: float = LONGEST_WAIT_S) -> None:
        self._first_wait_s = first_wait_s
        self._longest_wait_s = longest_wait_s
        self._tries = 0
        self._since_s = 0.0
        self._said_s = 0.0

    def missed(self, now_s: float) -> Missed:
        """Note a failed try, at `now_s` on a monotonic clock."""
        worth_saying = self._tries == 0 or now_s - self._said_s >= SAID_EVERY_S
        if self._tries == 0:
            self._since_s = now_s
        if worth_saying:
            self._said_s = now_s
        self._tries += 1
        return Missed(
            tries=self._tries,
            lasted_s=now_s - self._since_s,
            retry_s=min(self._first_wait_s * 2.0 ** min(self._tries - 1, 60), self._longest_wait_s),
            worth_saying=worth_saying,
        )

    def over(self, now_s: float) -> float | None:
        """Note a successful try. Returns how long the outage lasted, in seconds; None if there was none."""
        if self._tries == 0:
            return None
        self._tries = 0
        return now_s - self._since_s
