"""Lets a long unit of work report its progress.

A handler calls `report_progress`. Its caller may set up a listener. Outside a compute worker there is no listener and
the call does nothing, so that commands can use the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from msgspec import Struct

_NOTE_CHARS: Final = 200


class Progress(Struct, frozen=True, kw_only=True):
    """The progress of a unit."""

    fraction: float
    """0 to 1, as the handler estimates it."""
    note: str = ""
    """The present activity of the unit, in words."""


_listener: ContextVar[Callable[[Progress], None] | None] = ContextVar("progress_listener", default=None)


def report_progress(fraction: float, note: str = "") -> None:
    """Report the fraction that is done. Frequent calls are cheap: most end after one comparison.

    Fractions outside 0 to 1 are cut off, because rounding must not fail a unit. Reports from other threads of a handler
    are lost, because a new thread has a context of its own.
    """
    listener = _listener.get()
    if listener is not None:
        listener(Progress(fraction=min(1.0, max(0.0, fraction)), note=note[:_NOTE_CHARS]))


@contextmanager
def progress_to(listener: Callable[[Progress], None]) -> Iterator[None]:
    """Within the block, the progress that is reported goes to `listener`."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
