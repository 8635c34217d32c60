"""The database's figures, as plain data. Imports no driver, because the supervisor renders them as metrics."""

from __future__ import annotations

from msgspec import Struct


class QueueDepth(Struct, frozen=True, kw_only=True):
    """The number of unfinished jobs by state."""

    due: int
    """Ready jobs whose time has come."""
    waiting: int
    """Ready jobs whose time is still to come."""
    leased: int
    dead: int
    oldest_due_s: float
    """How long the oldest due job has been due."""


class TableStats(Struct, frozen=True, kw_only=True):
    """One table, with its indexes and large values. Row counts are the server's estimates."""

    name: str
    total_bytes: int
    live_rows: int
    dead_rows: int


class DatabaseStats(Struct, frozen=True, kw_only=True):
    """The figures of a database at one moment."""

    size_bytes: int
    connections: int
    active_connections: int
    max_connections: int
    """The limit of the whole server."""
    longest_transaction_s: float
    """The age of the longest open transaction; 0 if there is none."""
    tables: tuple[TableStats, ...]
    """Largest first."""
    queue: QueueDepth
