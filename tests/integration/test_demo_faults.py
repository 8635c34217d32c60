"""A demonstration that is interrupted or killed leaves nothing behind.

Real SIGINTs and SIGKILLs, at moments found in the demonstration's output and in its validator's log.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.support.demo_process import REAL_INPUT, Demo, demo_of, sockets_in
from tests.support.real_data import needs_real_data
from tests.support.waiting import until

pytestmark = [pytest.mark.processes, pytest.mark.database, pytest.mark.timeout(420)]

INTERRUPTED = 130


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
