"""What a stuck loop shows of itself while it is stuck, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.processes

_STUCK = """
import asyncio, time
from gaia.contracts.clock import SystemClock
from gaia.validator.app.logging_config import configure_logging
from gaia.validator.app.services.loop_stall import StallReporter

def stuck_here(stall_s):
    time.sleep(stall_s)

async def main():
    with StallReporter(SystemClock(), 0.4):
        await asyncio.sleep(0.6)  # waiting is no stall
        print("before", flush=True)
        stuck_here({stall_s})
        await asyncio.sleep(0.3)

configure_logging("json", "info", process="io-engine")
asyncio.run(main())
"""


def run_stuck(stall_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _STUCK.format(stall_s=stall_s)], capture_output=True, text=True, check=True, timeout=60
    )


def test_a_stuck_loop_shows_its_stack_and_is_logged_with_its_length_afterwards() -> None:
    done = run_stuck(1.5)
    assert done.stdout == "before\n"
    *stack, line = done.stderr.splitlines()
    assert any("in stuck_here" in frame for frame in stack)
    event = json.loads(line)
    assert event["event"] == "event_loop_stalled"
    assert event["stalled_s"] >= 1.5


def test_a_loop_that_goes_on_is_left_alone() -> None:
    assert run_stuck(0.0).stderr == ""
