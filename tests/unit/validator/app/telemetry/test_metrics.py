"""The endpoint's text, read back with the client library's own parser."""

from __future__ import annotations

import socket
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gaia.contracts.errors import ConfigurationError
from gaia.contracts.progress import Progress
from gaia.validator.app.machine.memory import ProcessUsage
from gaia.validator.app.telemetry.engine_snapshot import EngineSnapshot
from gaia.validator.app.telemetry.histogram import HistogramSnapshot
from gaia.validator.app.telemetry.metrics import MetricsEndpoint, SupervisorCollector
from gaia.validator.app.telemetry.pool_statistics import RunningUnit
from gaia.validator.app.telemetry.supervisor_view import ChildView, SupervisorView
from gaia.validator.db.figures import DatabaseStats, QueueDepth, TableStats

VIEW = SupervisorView(
    children=(
        ChildView(
            role="compute_worker",
            slot=1,
            restarts=3,
            given_up=True,
            usage=ProcessUsage(resident_bytes=5_000_000, anonymous_bytes=3_000_000, cpu_s=1.25),
        ),
        ChildView(role="io_engine", slot=0, restarts=0, given_up=False, usage=None),
    ),
    engine=EngineSnapshot(
        monotonic_s=100.0,
        loop_lag=HistogramSnapshot(bounds_s=(0.001, 0.01), counts=(5, 2, 1), sum_s=0.5),
        queue_depths={"compute": 7},
        compute_durations={"weather.verify": HistogramSnapshot(bounds_s=(1.0,), counts=(1, 0), sum_s=0.75)},
        compute_waits=HistogramSnapshot(bounds_s=(0.1,), counts=(9, 1), sum_s=1.5),
        units_done=8,
        units_failed=2,
        units_timed_out=5,
        units_over_memory=6,
        workers_lost=1,
        workers_retired=9,
        workers_standing_by=11,
        jobs_in_progress=4,
        running=(
            RunningUnit(
                unit_id="u",
                handler="weather.verify",
                run_id="sn57-weather-20170101T00Z",
                worker_slot=1,
                attempt=1,
                running_s=2.0,
                progress=Progress(fraction=0.25, note="chunk 3"),
            ),
            RunningUnit(
                unit_id="v",
                handler="weather.picture",
                run_id=None,
                worker_slot=0,
                attempt=1,
                running_s=0.1,
                progress=None,
            ),
        ),
        database=DatabaseStats(
            size_bytes=9_000_000,
            connections=7,
            active_connections=2,
            max_connections=50,
            longest_transaction_s=0.5,
            tables=(TableStats(name="job", total_bytes=81_920, live_rows=40, dead_rows=10),),
            queue=QueueDepth(due=1, waiting=2, leased=3, dead=4, oldest_due_s=5.0),
        ),
    ),
    disk_free_bytes=123_456,
)


def samples(view: SupervisorView) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    registry = CollectorRegistry()
    registry.register(SupervisorCollector(lambda: view, monotonic=lambda: 102.5))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_every_fact_of_a_view_is_rendered_once_by_role_and_slot() -> None:
    worker, engine = (("role", "compute_worker"), ("slot", "1")), (("role", "io_engine"), ("slot", "0"))
    assert samples(VIEW) == {
        ("gaia_child_process_restarts_total", worker): 3,
        ("gaia_child_process_restarts_total", engine): 0,
        ("gaia_child_process_given_up", worker): 1,
        ("gaia_child_process_given_up", engine): 0,
        ("gaia_process_resident_memory_bytes", worker): 5_000_000,
        ("gaia_process_anonymous_memory_bytes", worker): 3_000_000,
        ("gaia_process_cpu_seconds_total", worker): 1.25,
        ("gaia_data_folder_free_bytes", ()): 123_456,
        ("gaia_engine_snapshot_age_seconds", ()): 2.5,
        # Prometheus' buckets are cumulative: 5, 5 + 2, 5 + 2 + 1.
        ("gaia_io_event_loop_lag_seconds_bucket", (("le", "0.001"),)): 5,
        ("gaia_io_event_loop_lag_seconds_bucket", (("le", "0.01"),)): 7,
        ("gaia_io_event_loop_lag_seconds_bucket", (("le", "+Inf"),)): 8,
        ("gaia_io_event_loop_lag_seconds_count", ()): 8,
        ("gaia_io_event_loop_lag_seconds_sum", ()): 0.5,
        ("gaia_ipc_queue_depth", (("queue", "compute"),)): 7,
        ("gaia_compute_job_duration_seconds_bucket", (("handler", "weather.verify"), ("le", "1.0"))): 1,
        ("gaia_compute_job_duration_seconds_bucket", (("handler", "weather.verify"), ("le", "+Inf"))): 1,
        ("gaia_compute_job_duration_seconds_count", (("handler", "weather.verify"),)): 1,
        ("gaia_compute_job_duration_seconds_sum", (("handler", "weather.verify"),)): 0.75,
        ("gaia_compute_units_total", (("outcome", "done"),)): 8,
        ("gaia_compute_units_total", (("outcome", "failed"),)): 2,
        ("gaia_compute_wait_seconds_bucket", (("le", "0.1"),)): 9,
        ("gaia_compute_wait_seconds_bucket", (("le", "+Inf"),)): 10,
        ("gaia_compute_wait_seconds_count", ()): 10,
        ("gaia_compute_wait_seconds_sum", ()): 1.5,
        ("gaia_compute_units_timed_out_total", ()): 5,
        ("gaia_compute_units_over_memory_total", ()): 6,
        ("gaia_compute_workers_lost_total", ()): 1,
        ("gaia_compute_workers_retired_total", ()): 9,
        ("gaia_compute_workers_standing_by", ()): 11,
        ("gaia_jobs_in_progress", ()): 4,
        (
            "gaia_compute_unit_progress_ratio",
            (("handler", "weather.verify"), ("run", "sn57-weather-20170101T00Z"), ("slot", "1")),
        ): 0.25,
        ("pg_database_size_bytes", ()): 9_000_000,
        ("pg_stat_activity_count", (("state", "active"),)): 2,
        ("pg_stat_activity_count", (("state", "other"),)): 5,
        ("pg_settings_max_connections", ()): 50,
        ("pg_stat_activity_max_tx_duration", ()): 0.5,
        ("pg_table_size_bytes", (("relname", "job"),)): 81_920,
        ("pg_stat_user_tables_n_live_tup", (("relname", "job"),)): 40,
        ("pg_stat_user_tables_n_dead_tup", (("relname", "job"),)): 10,
        ("gaia_jobs", (("state", "due"),)): 1,
        ("gaia_jobs", (("state", "waiting"),)): 2,
        ("gaia_jobs", (("state", "leased"),)): 3,
        ("gaia_jobs", (("state", "dead"),)): 4,
        ("gaia_jobs_oldest_due_seconds", ()): 5,
    }


def test_before_the_engine_has_spoken_only_the_processes_are_shown() -> None:
    names = {name for name, _ in samples(SupervisorView(children=VIEW.children))}
    assert names == {
        "gaia_child_process_restarts_total",
        "gaia_child_process_given_up",
        "gaia_process_resident_memory_bytes",
        "gaia_process_anonymous_memory_bytes",
        "gaia_process_cpu_seconds_total",
    }


def test_the_endpoint_serves_and_ends() -> None:
    endpoint = MetricsEndpoint("127.0.0.1", 0, lambda: VIEW)
    with urllib.request.urlopen(f"http://127.0.0.1:{endpoint.port}/metrics", timeout=10) as reply:
        assert b"gaia_jobs_in_progress 4.0" in reply.read()
    endpoint.close()
    assert not endpoint.thread.is_alive()


def test_a_taken_port_names_itself_and_the_fix() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{port}.*GAIA_METRICS_PORT"):
            MetricsEndpoint("127.0.0.1", port, lambda: VIEW)
