"""The supervisor's own log lines."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

import pytest

from gaia.validator.app.telemetry.event_log import EventLog, mask_password


class Colour(StrEnum):
    RED = "red"


def test_a_line_is_one_json_object_with_a_utc_time() -> None:
    stream = io.StringIO()
    EventLog(stream=stream).warning("child_ended", role=Colour.RED, slot=3, where=Path("/tmp/x"), none=None)
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    at = datetime.fromisoformat(event.pop("timestamp"))
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)
    assert event == {
        "event": "child_ended", "level": "warning", "process": "supervisor",
        "role": "red", "slot": 3, "where": "/tmp/x", "none": None,
    }  # fmt: skip


def test_lines_below_the_level_are_not_written() -> None:
    stream = io.StringIO()
    log = EventLog(log_level="error", stream=stream)
    log.info("quiet")
    log.warning("quiet")
    log.error("loud")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["loud"]


def test_people_get_a_line_of_text() -> None:
    stream = io.StringIO()
    EventLog("console", stream=stream).info("child_started", slot=1, how="exit status 0\nnever")
    assert "[info   ] child_started" in stream.getvalue()
    assert "slot=1" in stream.getvalue()


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_passwords_are_masked(log_format: str) -> None:
    stream = io.StringIO()
    log = EventLog("json" if log_format == "json" else "console", stream=stream)
    log.info("refused", dsn="postgresql://gaia:hunter2@db/gaia")
    assert "hunter2" not in stream.getvalue()
    assert mask_password("no address: here@all") == "no address: here@all"


def test_a_log_that_cannot_be_written_harms_nobody() -> None:
    full = io.TextIOWrapper(io.FileIO("/dev/full", "w"), encoding="ascii", write_through=True)
    with pytest.raises(OSError, match="No space"):
        full.write("to a full disk")
    EventLog(stream=full).error("lost")
    closed = io.StringIO()
    closed.close()
    EventLog(stream=closed).error("lost too")
