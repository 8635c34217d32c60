"""The database's figures in Prometheus' format."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from gaia.validator.db.figures import DatabaseStats


def database_families(database: DatabaseStats) -> Iterator[Metric]:
    """Yield the metric families. Those of the server have the same names as in postgres_exporter."""
    yield GaugeMetricFamily("pg_database_size_bytes", "Size of the validator's database", value=database.size_bytes)
    connections = GaugeMetricFamily("pg_stat_activity_count", "Connections to the database", labels=["state"])
    connections.add_metric(["active"], database.active_connections)
    connections.add_metric(["other"], database.connections - database.active_connections)
    yield connections
    yield GaugeMetricFamily(
        "pg_settings_max_connections", "Connections that the server allows", value=database.max_connections
    )
    yield GaugeMetricFamily(
        "pg_stat_activity_max_tx_duration",
        "Seconds of the longest open transaction",
        value=database.longest_transaction_s,
    )
    sizes = GaugeMetricFamily("pg_table_size_bytes", "Size of a table with its indexes", labels=["relname"])
    live = GaugeMetricFamily("pg_stat_user_tables_n_live_tup", "Estimated rows of a table", labels=["relname"])
    dead = GaugeMetricFamily("pg_stat_user_tables_n_dead_tup", "Estimated dead rows of a table", labels=["relname"])
    for table in database.tables:
        sizes.add_metric([table.name], table.total_bytes)
        live.add_metric([table.name], table.live_rows)
        dead.add_metric([table.name], table.dead_rows)
    yield from (sizes, live, dead)
    jobs = GaugeMetricFamily("gaia_jobs", "Unfinished durable jobs, by state", labels=["state"])
    for state, count in (
        ("due", database.queue.due),
        ("waiting", database.queue.waiting),
        ("leased", database.queue.leased),
        ("dead", database.queue.dead),
    ):
        jobs.add_metric([state], count)
    yield jobs
    yield GaugeMetricFamily(
        "gaia_jobs_oldest_due_seconds",
        "How long the oldest due job has been due",
        value=database.queue.oldest_due_s,
    )
