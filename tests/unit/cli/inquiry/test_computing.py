"""What `gaia runs` reads of a running validator's metrics."""

from __future__ import annotations

from pathlib import Path

from gaia.cli.inquiry.computing import Computing, computing
from gaia.validator.app.telemetry.metrics import MetricsEndpoint
from tests.unit.validator.app.telemetry.test_metrics import VIEW


def test_units_that_tell_are_read_from_the_endpoint(tmp_path: Path) -> None:
    endpoint = MetricsEndpoint("127.0.0.1", 0, lambda: VIEW)
    port_file = tmp_path / "metrics.port"
    port_file.write_text(f"{endpoint.port}\n", encoding="ascii")
    try:
        found = computing("127.0.0.1", port_file)
    finally:
        endpoint.close()
    assert found == [Computing(run_id="sn57-weather-20170101T00Z", handler="weather.verify", worker=1, done=0.25)]


def test_where_no_validator_runs_nothing_is_computed(tmp_path: Path) -> None:
    assert computing("127.0.0.1", tmp_path / "metrics.port") == []
    (tmp_path / "metrics.port").write_text("9\n", encoding="ascii")  # the discard service, which nobody offers
    assert computing("127.0.0.1", tmp_path / "metrics.port") == []
