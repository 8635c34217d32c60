"""Who works, who is free, and who stands by: the workers of one pool, by their part in it.

Decides who joins and who takes whose place. Sends nothing, kills nobody, knows no units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gaia.validator.app.compute.worker_link import WorkerLink


class WorkerPlaces:
    """At most `size` workers have a place; whoever dials in above that stands by, up and warm.

    A place that becomes free goes to who stands by, at once: whether its worker was worn out, killed or died.
    """

    def __init__(self, size: int | None) -> None:
        """`size` None: everybody has a place and nobody stands by."""
        self._size = size
        self._placed: set[WorkerLink] = set()
        self.idle: list[WorkerLink] = []
        """Who has a place and no unit. Last in, first out: its caches are warm."""
        self.standing_by: list[WorkerLink] = []
        self._awaited: WorkerLink | None = None

    def came(self, link: WorkerLink) -> bool:
        """A worker has dialled in; whether it has got a place."""
        self._awaited = None
        if self._size is not None and len(self._placed) >= self._size:
            self.standing_by.append(link)
            return False
        self._place(link)
        return True

    def left(self, link: WorkerLink) -> None:
        """A worker gets nothing more, whatever the reason. Idempotent."""
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
        """Whether a worn-out worker may go now: somebody stands by for its place, or where nobody ever does, the last
        one's replacement has come.
        """
        return bool(self.standing_by) if self._size is not None else self._awaited is None

    def spared(self, link: WorkerLink) -> None:
        """A worn-out worker goes."""
        self._awaited = link
        self.left(link)

    def _place(self, link: WorkerLink) -> None:
        self._placed.add(link)
        self.idle.append(link)
