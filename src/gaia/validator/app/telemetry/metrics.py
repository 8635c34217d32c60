"""The validator's only metrics endpoint. It runs in the supervisor, and renders the supervisor's view for Prometheus.

The labels are roles and slot numbers, never process ids. Reads one immutable view, and never touches a child.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gaia.contracts.errors import ConfigurationError
from gaia.validator.app.telemetry.database_metrics import database_families
from gaia.validator.app.telemetry.engine_snapshot import EngineSnapshot
from gaia.validator.app.telemetry.histogram import HistogramSnapshot
from gaia.validator.app.telemetry.supervisor_view import ChildView, SupervisorView

_CLOSE_TIMEOUT_S = 5.0


class SupervisorCollector(Collector):
    """Turns the present view into metric families at every scrape."""

    def __init__(self, view: Callable[[], SupervisorView], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._view = view
        self._monotonic = monotonic

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families, all from the same view."""
        view = self._view()
        yield from _process_families(view.children)
        if view.disk_free_bytes is not None:
            yield GaugeMetricFamily(
                "gaia_data_folder_free_bytes", "Free space on the disk of the data folder", value=view.disk_free_bytes
            )
        if view.engine is not None:
            yield from _engine_families(view.engine, self._monotonic())
            if view.engine.database is not None:
                yield from database_families(view.engine.database)


class MetricsEndpoint:
    """An HTTP server in a daemon thread, until `close()`."""

    def __init__(self, host: str, port: int, view: Callable[[], SupervisorView]) -> None:
        """Start the server. Raises ConfigurationError if the address cannot be used."""
        registry = CollectorRegistry()
        registry.register(SupervisorCollector(view))
        try:
            self._server, self._thread = start_http_server(port, addr=host, registry=registry)
        except OSError as error:
            raise ConfigurationError(
                f"/metrics cannot listen on {host}:{port}: {error.strerror or error}; stop the program that uses the "
                "port, choose another with GAIA_METRICS_PORT, or switch it off with GAIA_METRICS_PORT=off"
            ) from error

    @property
    def port(self) -> int:
        """The port in use."""
        return self._server.server_port

    @property
    def thread(self) -> threading.Thread:
        """The thread of the server."""
        return self._thread

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_CLOSE_TIMEOUT_S)


def _process_families(children: tuple[ChildView, ...]) -> Iterator[Metric]:
    labels = ["role", "slot"]
    restarts = CounterMetricFamily(
        "gaia_child_process_restarts_total", "How often the process in a slot was started again", labels=labels
    )
    resident = GaugeMetricFamily(
        "gaia_process_resident_memory_bytes", "Resident memory of the process in a slot", labels=labels
    )
    cpu = CounterMetricFamily(
        "gaia_process_cpu_seconds_total", "Processor time of the process in a slot since its start", labels=labels
    )
    anonymous = GaugeMetricFamily(
        "gaia_process_anonymous_memory_bytes", "Resident memory without mapped files", labels=labels
    )
    given_up = GaugeMetricFamily(
        "gaia_child_process_given_up", "1 if a slot stays empty because its processes kept failing", labels=labels
    )
    for child in children:
        where = [child.role, str(child.slot)]
        restarts.add_metric(where, child.restarts)
        given_up.add_metric(where, child.given_up)
        if child.usage is not None:
            resident.add_metric(where, child.usage.resident_bytes)
            anonymous.add_metric(where, child.usage.anonymous_bytes)
            cpu.add_metric(where, child.usage.cpu_s)
    yield from (restarts, given_up, resident, anonymous, cpu)


def _engine_families(engine: EngineSnapshot, now_s: float) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "gaia_engine_snapshot_age_seconds",
        "Seconds since the last snapshot of the IO-Engine; grows while the engine hangs",
        value=max(0.0, now_s - engine.monotonic_s),
    )
    lag = HistogramMetricFamily("gaia_io_event_loop_lag_seconds", "How late the event loop ran its timers")
    _add_histogram(lag, [], engine.loop_lag)
    yield lag
    depth = GaugeMetricFamily("gaia_ipc_queue_depth", "Units or jobs that wait, by queue", labels=["queue"])
    for queue, waiting in engine.queue_depths.items():
        depth.add_metric([queue], waiting)
    yield depth
    durations = HistogramMetricFamily(
        "gaia_compute_job_duration_seconds", "Time of a unit in its worker, by handler", labels=["handler"]
    )
    for handler, histogram in engine.compute_durations.items():
        _add_histogram(durations, [handler], histogram)
    yield durations
    if engine.compute_waits is not None:
        waits = HistogramMetricFamily("gaia_compute_wait_seconds", "Time from a unit's submission to its worker")
        _add_histogram(waits, [], engine.compute_waits)
        yield waits
    units = CounterMetricFamily("gaia_compute_units_total", "Units of work, by outcome", labels=["outcome"])
    units.add_metric(["done"], engine.units_done)
    units.add_metric(["failed"], engine.units_failed)
    yield units
    for name, what, value in (
        ("units_timed_out", "Units that exceeded their timeout or deadline", engine.units_timed_out),
        ("units_over_memory", "Units whose worker was killed at the hard memory limit", engine.units_over_memory),
        ("workers_lost", "Workers that died during a unit", engine.workers_lost),
        ("workers_retired", "Workers replaced after many units or because of their memory", engine.workers_retired),
    ):
        yield CounterMetricFamily(f"gaia_compute_{name}_total", what, value=value)
    yield GaugeMetricFamily("gaia_compute_workers_standing_by", "Spare workers", value=engine.workers_standing_by)
    yield _progress(engine)
    yield GaugeMetricFamily("gaia_jobs_in_progress", "Durable jobs in progress", value=engine.jobs_in_progress)


def _progress(engine: EngineSnapshot) -> Metric:
    done = GaugeMetricFamily(
        "gaia_compute_unit_progress_ratio",
        "Share of the running unit that is done, for handlers that report it",
        labels=["handler", "slot", "run"],
    )
    for unit in engine.running:
        if unit.progress is not None:
            done.add_metric([unit.handler, str(unit.worker_slot), unit.run_id or ""], unit.progress.fraction)
    return done


def _add_histogram(family: HistogramMetricFamily, labels: list[str], histogram: HistogramSnapshot) -> None:
    bounds = [str(bound) for bound in histogram.bounds_s] + ["+Inf"]
    cumulative = accumulate(histogram.counts)
    family.add_metric(labels, list(zip(bounds, cumulative, strict=True)), histogram.sum_s)
