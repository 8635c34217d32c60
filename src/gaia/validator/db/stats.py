"""What the database does, in numbers: sizes, dead rows, connections, the longest transaction, the queue.

Read-only. The service `database_monitor` asks it once a minute; it decides nothing.
"""

from __future__ import annotations

from gaia.validator.db.figures import DatabaseStats, TableStats
from gaia.validator.db.pool import DatabasePool
from gaia.validator.db.queue import PostgresQueue

_TABLES = """
SELECT relname AS name, pg_total_relation_size(relid) AS total_bytes, n_live_tup AS live_rows,
       n_dead_tup AS dead_rows
FROM pg_stat_user_tables WHERE schemaname = 'public'
ORDER BY pg_total_relation_size(relid) DESC, relname
"""

# Our own transaction, which asks, is not counted.
_SERVER = """
SELECT pg_database_size(current_database()) AS size_bytes,
       count(*) AS connections,
       count(*) FILTER (WHERE state = 'active') AS active_connections,
       current_setting('max_connections')::integer AS max_connections,
       coalesce(extract(epoch FROM max(clock_timestamp() - xact_start)
                FILTER (WHERE pid <> pg_backend_pid())), 0) AS longest_transaction_s
FROM pg_stat_activity WHERE datname = current_database()
"""


class DatabaseStatsManager:
    """Takes the looks."""

    def __init__(self, pool: DatabasePool, queue: PostgresQueue) -> None:
        self._pool = pool
        self._queue = queue

    async def collect(self) -> DatabaseStats:
        """Three short queries; raises DatabaseUnavailable while the server is away."""
        async with self._pool.acquire() as conn:
            server = dict(await conn.fetchrow(_SERVER))
            tables = await conn.fetch(_TABLES)
        server["longest_transaction_s"] = float(server["longest_transaction_s"])
        return DatabaseStats(
            **server,
            tables=tuple(TableStats(**dict(table)) for table in tables),
            queue=await self._queue.depth(),
        )
