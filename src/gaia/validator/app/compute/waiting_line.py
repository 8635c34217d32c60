"""The bounded priority line in which units wait for a worker. Lives in one event loop; shared with no
process.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Iterator

from gaia.validator.app.compute.worker_link import PendingUnit


class WaitingLine:
    """Highest priority first, oldest first within one. A unit keeps its age when it comes back, so it goes
    ahead.

    Withdrawn units stay in the heap, settled, until they surface; they are not counted.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._heap: list[tuple[int, int, PendingUnit]] = []
        self.waiting = 0
        """Units in the line. Read by others, changed here only."""
        self.claims = 0
        """Units in the line and submitters on their way into it. While there are none, a newcomer need not ask whether
        it is full. Read by others, changed here only."""
        self._submitters: deque[asyncio.Future[None]] = deque()
        self._called = 0
        """Submitters who have been told of their place and have not come yet: it is theirs."""

    @property
    def submitters(self) -> int:
        """How many wait for a place."""
        return len(self._submitters)

    @property
    def is_full(self) -> bool:
        """Whether a submitter has to wait: no place, or others were here before."""
        return self.waiting + self._called >= self.capacity or bool(self._submitters)

    async def room(self) -> None:
        """Wait, in order of arrival, until the line has a place. Then `push`, or `admit` who comes next."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._submitters.append(turn)
        self.claims += 1
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._called -= 1
                self.admit()  # pass the turn on
            elif turn in self._submitters:  # else it was passed over meanwhile
                self._submitters.remove(turn)
            raise
        finally:
            self.claims -= 1
        self._called -= 1

    def push(self, pending: PendingUnit) -> None:
        """Join the line; coming back after a lost worker may exceed the bound by the number of workers."""
        heapq.heappush(self._heap, (-pending.unit.priority, pending.order, pending))
        pending.waits = True
        self.waiting += 1
        self.claims += 1

    def pop(self) -> PendingUnit | None:
        """The next unit to do; None if nobody waits."""
        while self._heap:
            pending = heapq.heappop(self._heap)[2]
            if not pending.future.done():
                pending.waits = False
                self.waiting -= 1
                self.claims -= 1
                self.admit()
                return pending
        return None

    def withdraw(self, pending: PendingUnit) -> None:
        """A unit, its future settled, no longer waits, if it did."""
        if not pending.waits:
            return
        pending.waits = False
        self.waiting -= 1
        self.claims -= 1
        if len(self._heap) > 2 * self.capacity:
            self._heap = [entry for entry in self._heap if entry[2].waits]
            heapq.heapify(self._heap)
        self.admit()

    def clear(self) -> Iterator[PendingUnit]:
        """Empty the line, and let every submitter go on (they find the pool closed)."""
        while (pending := self.pop()) is not None:
            yield pending
        while self._submitters:
            self._call(self._submitters.popleft())

    def admit(self) -> None:
        """Call so many submitters as there are places; one that was cancelled this moment uses up none."""
        while self._submitters and self.waiting + self._called < self.capacity:
            self._call(self._submitters.popleft())

    def _call(self, turn: asyncio.Future[None]) -> None:
        if not turn.done():
            turn.set_result(None)
            self._called += 1
