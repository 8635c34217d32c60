"""A demonstration that is disturbed: a killed worker or IO-Engine changes no score, and no end leaves anything behind.

Real SIGKILLs and SIGINTs, at moments found in the demonstration's output and in its validator's log.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.demo_process import REAL_INPUT, Demo, demo_of, sockets_in
from tests.support.real_data import needs_real_data
from tests.support.waiting import until

pytestmark = [pytest.mark.processes, pytest.mark.database, pytest.mark.timeout(420)]

WORKER = "gaia.validator.app.compute_worker"
ENGINE = "gaia.validator.app.io_engine"
INTERRUPTED = 130


def outcome(report: dict[str, Any]) -> dict[str, Any]:
    """All scores and components by model, hotkeys and waiting times apart: those differ from run to run."""
    model_of = {row["hotkey"]: row["model"] for row in report["leaderboard"]}
    return {
        "spec": report["spec"],
        "leaderboard": [
            (row["rank"], row["model"], row["score"], row["emission_weight"], row["status"])
            for row in report["leaderboard"]
        ],
        "components": sorted(
            (model_of[c["hotkey"]], c["lead_h"], c["variable"], c["level"], c["rmse"], c["mae"], c["bias"])
            for c in report["components"]
        ),
        "weights": report["weights"],
    }


def kill_workers_while_scoring(demo: Demo) -> None:
    """All of them, so that those which have a unit are among them."""
    demo.wait_for_event("forecast_verified")
    for pid in demo.pids_of(WORKER):
        os.kill(pid, signal.SIGKILL)


def kill_engine_while_scoring(demo: Demo) -> None:
    demo.wait_for_event("forecast_verified")
    for pid in demo.pids_of(ENGINE):
        os.kill(pid, signal.SIGKILL)


@needs_real_data
@pytest.mark.real_data
@pytest.mark.parametrize(
    ("disturb", "role"), [(kill_workers_while_scoring, "compute_worker"), (kill_engine_while_scoring, "io_engine")]
)
def test_killed_process_changes_no_score(disturb: Callable[[Demo], None], role: str, real_demo: Demo) -> None:
    with demo_of(*REAL_INPUT) as demo:
        disturb(demo)
        assert demo.wait() == 0, demo.output + demo.validator_log[-4000:]
        unexpected = [event for event in demo.events("child_ended") if event["level"] == "warning"]
        assert {(event["role"], event["how"]) for event in unexpected} == {(role, "killed by signal 9")}
        assert outcome(demo.report()) == outcome(real_demo.report())
        demo.assert_nothing_left()


def while_building_the_world(demo: Demo) -> None:
    demo.wait_for_output("building the embedded world")


def while_postgres_starts(demo: Demo) -> None:
    until(lambda: list(demo.data_dir.glob(".postgres.init-*")), "initdb at work", 60.0)


def in_the_commit_window(demo: Demo) -> None:
    demo.wait_for_event("run_opened")


def while_scoring(demo: Demo) -> None:
    demo.wait_for_event("forecast_verified")


@pytest.mark.parametrize("reach", [while_building_the_world, while_postgres_starts, in_the_commit_window])
def test_interrupted_demo_leaves_nothing(reach: Callable[[Demo], None]) -> None:
    with demo_of() as demo:
        reach(demo)
        demo.process.send_signal(signal.SIGINT)
        assert demo.wait() == INTERRUPTED
        demo.assert_nothing_left()
        assert "Traceback" not in demo.output


@needs_real_data
@pytest.mark.real_data
def test_demo_interrupted_twice_while_scoring_leaves_nothing() -> None:
    with demo_of(*REAL_INPUT) as demo:
        while_scoring(demo)
        demo.process.send_signal(signal.SIGINT)
        until(lambda: demo.events("stop_requested") or demo.process.poll() is not None, "the stop has begun")
        demo.process.send_signal(signal.SIGINT)
        assert demo.wait() == INTERRUPTED
        demo.assert_nothing_left()
        assert "Traceback" not in demo.output


@needs_real_data
@pytest.mark.real_data
def test_killed_demo_leaves_no_process() -> None:
    with demo_of(*REAL_INPUT) as demo:
        in_the_commit_window(demo)
        demo.process.send_signal(signal.SIGKILL)
        demo.process.wait(10)
        until(lambda: not demo.pids_of("gaia.") and not demo.pids_of("postgres"), "all processes have ended", 30.0)
        assert [path.name for path in sockets_in(demo.data_dir) if "PGSQL" in path.name] == []
