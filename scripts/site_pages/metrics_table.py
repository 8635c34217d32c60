"""The table of all metrics, from the collector that the supervisor serves."""

from __future__ import annotations

from prometheus_client.core import Metric

from gaia.contracts.progress import Progress
from gaia.validator.app.machine.memory import ProcessUsage
from gaia.validator.app.telemetry.engine_snapshot import EngineSnapshot
from gaia.validator.app.telemetry.histogram import HistogramSnapshot
from gaia.validator.app.telemetry.metrics import SupervisorCollector
from gaia.validator.app.telemetry.pool_statistics import RunningUnit
from gaia.validator.app.telemetry.supervisor_view import ChildView, SupervisorView
from gaia.validator.db.figures import DatabaseStats, QueueDepth, TableStats
from site_pages.markdown import code, table

_NO_TIMES = HistogramSnapshot(bounds_s=(1.0,), counts=(0, 0), sum_s=0.0)
_USAGE = ProcessUsage(resident_bytes=0, anonymous_bytes=0, cpu_s=0.0)
_RUNNING = RunningUnit(
    unit_id="unit",
    handler="handler",
    run_id="run",
    worker_slot=0,
    attempt=1,
    running_s=0.0,
    progress=Progress(fraction=0.0),
)
_DATABASE = DatabaseStats(
    size_bytes=0,
    connections=0,
    active_connections=0,
    max_connections=0,
    longest_transaction_s=0.0,
    tables=(TableStats(name="table", total_bytes=0, live_rows=0, dead_rows=0),),
    queue=QueueDepth(due=0, waiting=0, leased=0, dead=0, oldest_due_s=0.0),
)


def metrics_table() -> str:
    """One row per metric, in the order of /metrics."""
    rows = ((code(name_of(family)), family.type, _labels(family), f"{family.documentation}.") for family in families())
    return table(("metric", "type", "labels", "meaning"), rows)


def families() -> list[Metric]:
    """Every family that the collector can give: of a view in which nothing is absent."""
    engine = EngineSnapshot(
        monotonic_s=0.0,
        loop_lag=_NO_TIMES,
        queue_depths={"compute": 0},
        compute_durations={"handler": _NO_TIMES},
        compute_waits=_NO_TIMES,
        running=(_RUNNING,),
        database=_DATABASE,
    )
    child = ChildView(role="io_engine", slot=0, restarts=0, given_up=False, usage=_USAGE)
    view = SupervisorView(children=(child,), engine=engine, disk_free_bytes=0)
    return list(SupervisorCollector(lambda: view).collect())


def name_of(family: Metric) -> str:
    """As it stands on /metrics, where counters end in `_total`."""
    return f"{family.name}_total" if family.type == "counter" else family.name


def _labels(family: Metric) -> str:
    names = dict.fromkeys(label for sample in family.samples for label in sample.labels if label != "le")
    return ", ".join(code(name) for name in names)
