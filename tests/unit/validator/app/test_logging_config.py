"""What a log line looks like, whoever wrote it."""

from __future__ import annotations

import contextlib
import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from gaia.validator.app.logging_config import configure_logging


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the lines go; the configuration of before comes back at the end."""
    before = structlog.get_config()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_is_one_json_object_with_what_is_bound_and_a_utc_time(stream: io.StringIO) -> None:
    configure_logging("json", "info", process="io-engine", stream=stream)
    with structlog.contextvars.bound_contextvars(run_id="sn57-weather-20170101T00Z", hotkey="5abc"):
        structlog.get_logger().info("forecast_verified", lead_h=12)
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    at = datetime.fromisoformat(event.pop("timestamp"))
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)
    assert event == {
        "event": "forecast_verified", "level": "info", "process": "io-engine", "lead_h": 12,
        "run_id": "sn57-weather-20170101T00Z", "hotkey": "5abc",
    }  # fmt: skip


def test_lines_below_the_level_are_not_written(stream: io.StringIO) -> None:
    configure_logging("json", "warning", process="p", stream=stream)
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["loud"]


def test_the_standard_librarys_lines_come_out_the_same_way(stream: io.StringIO) -> None:
    configure_logging("json", "info", process="p", stream=stream)
    logging.getLogger("asyncio").error("slow callback")
    event = json.loads(stream.getvalue())
    assert (event["event"], event["level"], event["logger"]) == ("slow callback", "error", "asyncio")


def test_an_exception_is_part_of_its_line(stream: io.StringIO) -> None:
    configure_logging("json", "info", process="p", stream=stream)
    try:
        int("boom")
    except ValueError:
        structlog.get_logger().exception("crashed")
    (line,) = stream.getvalue().splitlines()
    assert "invalid literal for int() with base 10: 'boom'" in json.loads(line)["exception"]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_passwords_in_addresses_are_masked(stream: io.StringIO, log_format: str) -> None:
    configure_logging("json" if log_format == "json" else "console", "info", process="p", stream=stream)
    structlog.get_logger().info("connected", dsn="postgresql://gaia:hunter2@db.example/gaia")
    logging.getLogger("asyncpg").error("postgresql://gaia:hunter2@db.example/gaia refused")
    assert "hunter2" not in stream.getvalue()
    assert stream.getvalue().count("gaia:***@db.example") == 2


def test_a_log_that_cannot_be_written_costs_the_line_and_nothing_else(stream: io.StringIO) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123  a device: every write fails with ENOSPC
        configure_logging("json", "info", process="io-engine", stream=full)
        structlog.get_logger().info("forecast_verified")
        logging.getLogger("asyncpg").warning("slow")
        with contextlib.suppress(OSError):
            full.close()
    structlog.get_logger().error("stream_closed")
