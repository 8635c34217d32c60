"""Keeps track of a pool's workers: which have a place, which of those are idle, and which are spares.

Decides whether a new worker gets a place, and which spare takes a free place. Sends nothing, kills no process, and
does not know of units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gaia.validator.app.compute.worker_link import WorkerLink


class WorkerPlaces:
    """At most `size` workers have a place. Any further worker is a spare: started and ready.

    When a worker with a place retires, is killed or dies, a spare takes the place at once.
    """

    def __init__(self, size: int | None) -> None:
        """`size` None: every worker has a place, and there are no spares."""
        self._size = size
        self._placed: set[WorkerLink] = set()
        self.idle: list[WorkerLink] = []
        """The workers with a place and without a unit. Last in, first out, because its caches are warm."""
        self.standing_by: list[WorkerLink] = []
        """The spares."""
        self._awaited: WorkerLink | None = None

    def came(self, link: WorkerLink) -> bool:
        """Add a worker that has connected. Returns whether it got a place."""
        self._awaited = None
        if self._size is not None and len(self._placed) >= self._size:
            self.standing_by.append(link)
            return False
        self._place(link)
        return True

    def left(self, link: WorkerLink) -> None:
        """Remove a worker for any reason, and give its place to a spare. May be called twice."""
        if link in self.standing_by:
            self.standing_by.remove(link)
        if link not in self._placed:
            return
        self._placed.remove(link)
        if link in self.idle:
            self.idle.remove(link)
        if self.standing_by:
            self._place(self.standing_by.pop())

    def can_spare_one(self) -> bool:
        """Whether a worn-out worker may leave now.

        With spares, one must be ready to take its place. Without spares, the last one's replacement must have come.
        """
        return bool(self.standing_by) if self._size is not None else self._awaited is None

    def spared(self, link: WorkerLink) -> None:
        """Remove a worn-out worker."""
        self._awaited = link
        self.left(link)

    def _place(self, link: WorkerLink) -> None:
        self._placed.add(link)
        self.idle.append(link)
