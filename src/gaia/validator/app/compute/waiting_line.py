"""The bounded priority queue in which units wait for a worker. It belongs to one event loop."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Iterator

from gaia.validator.app.compute.worker_link import PendingUnit


class WaitingLine:
    """The highest priority comes first, then the oldest unit. A unit that lost its worker keeps its age.

    Withdrawn units stay in the heap until they come up, but they do not count.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._heap: list[tuple[int, int, PendingUnit]] = []
        self.waiting = 0
        """The number of units in the line. Others may read it; only this class changes it."""
        self.claims = 0
        """The number of units in the line and of submitters that wait for a place. At 0 a new unit need not check
        whether the line is full. Others may read it; only this class changes it."""
        self._submitters: deque[asyncio.Future[None]] = deque()
        self._called = 0
        """The number of submitters that have been given a place and have not used it yet."""

    @property
    def submitters(self) -> int:
        """The number of submitters that wait for a place."""
        return len(self._submitters)

    @property
    def is_full(self) -> bool:
        """Whether a submitter has to wait, because there is no place or because others came first."""
        return self.waiting + self._called >= self.capacity or bool(self._submitters)

    async def room(self) -> None:
        """Wait, in order of arrival, for a place. The caller must then `push` a unit, or `admit` the next submitter."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._submitters.append(turn)
        self.claims += 1
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._called -= 1
                self.admit()  # pass the turn on
            elif turn in self._submitters:  # otherwise it has been removed in the meantime
                self._submitters.remove(turn)
            raise
        finally:
            self.claims -= 1
        self._called -= 1

    def push(self, pending: PendingUnit) -> None:
        """Add a unit. Units that lost their workers may exceed the capacity, by at most the number of workers."""
        heapq.heappush(self._heap, (-pending.unit.priority, pending.order, pending))
        pending.waits = True
        self.waiting += 1
        self.claims += 1

    def pop(self) -> PendingUnit | None:
        """Take the next unit; None if no unit waits."""
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
        """Remove a unit whose future is settled. Does nothing if the unit does not wait."""
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
        """Empty the line, and let every submitter continue (it then finds the pool closed)."""
        while (pending := self.pop()) is not None:
            yield pending
        while self._submitters:
            self._call(self._submitters.popleft())

    def admit(self) -> None:
        """Give the free places to the first submitters. A submitter that was just cancelled takes no place."""
        while self._submitters and self.waiting + self._called < self.capacity:
            self._call(self._submitters.popleft())

    def _call(self, turn: asyncio.Future[None]) -> None:
        if not turn.done():
            turn.set_result(None)
            self._called += 1
