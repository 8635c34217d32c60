"""How far a long unit of work has come, told from inside it.

A handler calls `report_progress`; who listens, if anybody, is set up around it. Outside a compute worker nobody
listens and the call does nothing, so that the same functions serve a command at the terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from msgspec import Struct

_NOTE_CHARS: Final = 200


class Progress(Struct, frozen=True, kw_only=True):
    """A moment of a unit's life."""

    fraction: float
    """0 to 1, as the handler estimates it."""
    note: str = ""
    """What it is at, for people."""


_listener: ContextVar[Callable[[Progress], None] | None] = ContextVar("progress_listener", default=None)


def report_progress(fraction: float, note: str = "") -> None:
    """Say how much is done; call it as often as you like, most calls cost a comparison and go no further.

    Fractions outside 0 to 1 are cut off, for rounding must not fail a unit. Threads of a handler are not heard: a new
    thread starts in a context of its own.
    """
    listener = _listener.get()
    if listener is not None:
        listener(Progress(fraction=min(1.0, max(0.0, fraction)), note=note[:_NOTE_CHARS]))


@contextmanager
def progress_to(listener: Callable[[Progress], None]) -> Iterator[None]:
    """While entered, what this context's code reports goes to `listener`."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
