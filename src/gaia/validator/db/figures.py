"""What can be said of the database in numbers. Plain data without the driver: the supervisor renders it as metrics."""

from __future__ import annotations

from msgspec import Struct


class QueueDepth(Struct, frozen=True, kw_only=True):
    """How many unfinished jobs stand where."""

    due: int
    """Ready, and their time has come."""
    waiting: int
    """Ready, but not before a later instant."""
    leased: int
    dead: int
    oldest_due_s: float
    """How long the longest-waiting due job could have run already."""


class TableStats(Struct, frozen=True, kw_only=True):
    """One table, with its indexes and large values. Row counts are the server's estimates."""

    name: str
    total_bytes: int
    live_rows: int
    dead_rows: int


class DatabaseStats(Struct, frozen=True, kw_only=True):
    """One look at the database."""

    size_bytes: int
    connections: int
    active_connections: int
    max_connections: int
    """Of the whole server."""
    longest_transaction_s: float
    """0 if there is none."""
    tables: tuple[TableStats, ...]
    """Largest first."""
    queue: QueueDepth
