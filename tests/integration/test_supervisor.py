"""The supervisor with real children: what it starts, restarts, gives up and leaves behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import msgspec
import pytest

from gaia.validator.app.processes.child import python_module
from gaia.validator.app.processes.restart_policy import RestartPolicy
from tests.support.backbone_stack import Stack, assert_all_gone
from tests.support.waiting import children_of, is_running, lines_of, until

pytestmark = pytest.mark.processes


def test_units_flow_through_engine_and_workers_and_a_stop_leaves_nothing(stack: Stack) -> None:
    stack.start()
    stack.do("a", "echo", text="through")
    assert stack.result("a").value == {"text": "through"}
    stack.wait_ready()
    family = children_of(stack.pid)
    assert len(family) == 3
    os.kill(stack.pid, signal.SIGTERM)
    assert stack.exit_status() == 0
    assert_all_gone(family)
    assert not stack.settings.engine_socket.exists()


def test_only_the_worker_that_was_killed_is_started_again(stack: Stack) -> None:
    stack.start()
    stack.wait_ready()
    engine, bystander, victim = (
        stack.pid_of("io_engine"),
        stack.pid_of("compute_worker", 1),
        stack.pid_of("compute_worker"),
    )
    os.kill(victim, signal.SIGKILL)
    until(lambda: stack.pid_of("compute_worker") != victim, "the worker is started again")
    stack.do("a", "echo")
    assert stack.result("a").ok
    assert (stack.pid_of("io_engine"), stack.pid_of("compute_worker", 1)) == (engine, bystander)
    assert is_running(engine)
    assert is_running(bystander)


def test_an_engine_killed_with_a_unit_in_flight_is_replaced_and_the_unit_done(stack: Stack, tmp_path: Path) -> None:
    stack.start()
    stack.wait_ready()
    began, release = tmp_path / "began", tmp_path / "release"
    stack.do("a", "wait_for_file", began=str(began), until=str(release))
    until(lambda: lines_of(began), "the unit begins")
    engine, workers = stack.pid_of("io_engine"), {stack.pid_of("compute_worker", slot) for slot in (0, 1)}
    os.kill(engine, signal.SIGKILL)
    until(lambda: stack.pid_of("io_engine") != engine, "the engine is started again")
    until(lambda: len(lines_of(began)) == 2, "the unit begins again")
    release.touch()
    assert stack.result("a").ok
    assert {stack.pid_of("compute_worker", slot) for slot in (0, 1)} == workers  # they dialled the new engine


def test_a_unit_in_flight_finishes_before_a_stop_is_done(stack: Stack, tmp_path: Path) -> None:
    stack.start()
    stack.wait_ready()
    began, release = tmp_path / "began", tmp_path / "release"
    stack.do("a", "wait_for_file", began=str(began), until=str(release))
    until(lambda: lines_of(began), "the unit begins")
    os.kill(stack.pid, signal.SIGTERM)
    until(lambda: stack.events("stop_requested"), "the stop begins")
    release.touch()
    assert stack.exit_status() == 0
    assert stack.result("a").ok
    assert stack.events("child_killed") == []


def test_a_second_signal_hurries_the_stop(stack: Stack, tmp_path: Path) -> None:
    stack.settings = msgspec.structs.replace(stack.settings, drain_grace_s=3600.0)
    stack.start()
    stack.wait_ready()
    family = children_of(stack.pid)
    os.kill(stack.pid_of("io_engine"), signal.SIGSTOP)  # it will never answer
    os.kill(stack.pid, signal.SIGINT)
    until(lambda: stack.events("stop_requested"), "the stop begins")
    os.kill(stack.pid, signal.SIGINT)
    assert stack.exit_status() == 0
    assert_all_gone(family)


def test_nothing_outlives_a_killed_supervisor(stack: Stack, tmp_path: Path) -> None:
    stack.start()
    stack.wait_ready()
    stack.do("a", "wait_for_file", began=str(tmp_path / "began"), until=str(tmp_path / "never"))
    until(lambda: lines_of(tmp_path / "began"), "the unit begins")
    family = children_of(stack.pid)
    assert len(family) == 3
    os.kill(stack.pid, signal.SIGKILL)
    stack.exit_status()
    assert_all_gone(family)


def test_a_supervisor_tied_to_a_parent_stops_when_that_dies(stack: Stack) -> None:
    plan = stack.write_plan()
    parent = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            "import os, subprocess, sys; "
            "argv = [sys.executable, '-m', 'tests.support.backbone_supervisor', sys.argv[1], str(os.getpid())]; "
            "subprocess.Popen(argv, stderr=open(sys.argv[2], 'ab')).wait()",
            *(str(plan), str(stack.log_path)),
        ]
    )
    stack.wait_ready()
    (supervisor,) = children_of(parent.pid)
    family = [supervisor, *children_of(supervisor)]
    parent.kill()
    parent.wait(10)
    until(lambda: stack.events("all_stopped"), "an orderly stop")
    assert_all_gone(family, 10.0)


def test_a_second_supervisor_on_the_same_folder_is_refused_in_one_line(stack: Stack) -> None:
    stack.start()
    stack.wait_ready()
    second = subprocess.run(
        python_module("tests.support.backbone_supervisor", str(stack.folder / "plan.json")),
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert second.returncode == 2
    (line,) = second.stderr.splitlines()
    assert f"another validator (pid {stack.pid}) runs on {stack.settings.data_dir}" in line
    assert "GAIA_DATA_DIR" in line
    stack.do("a", "echo")
    assert stack.result("a").ok


def test_a_crash_loop_trips_the_restart_intensity(stack: Stack) -> None:
    stack.restart = RestartPolicy(first_delay_s=0.01, longest_delay_s=0.02, max_failures=3)
    stack.engine = (sys.executable, "-c", "raise SystemExit(1)")
    stack.start()
    assert stack.exit_status() == 1
    assert "io_engine ended more than 3 times within 60 s (last exit status 1)" in stack.complaint()
    assert len([event for event in stack.events("child_started") if event["role"] == "io_engine"]) == 4


def test_a_child_that_says_that_trying_again_is_useless_ends_the_validator_at_once(stack: Stack) -> None:
    stack.engine = (sys.executable, "-c", "raise SystemExit(2)")
    stack.start()
    assert stack.exit_status() == 2
    assert "io_engine cannot start" in stack.complaint()


def test_units_that_kill_their_workers_do_not_bring_the_validator_down(stack: Stack) -> None:
    stack.restart = RestartPolicy(first_delay_s=0.01, longest_delay_s=0.02, max_failures=3)
    stack.start()
    stack.wait_ready()
    for number in range(4):
        stack.do(f"poison{number}", "die")
    for number in range(4):
        error = stack.result(f"poison{number}").error
        assert error is not None
        assert error.code == "poison_unit"
    stack.do("after", "echo")
    assert stack.result("after").ok
    assert stack.process is not None
    assert stack.process.poll() is None


def test_a_failed_set_up_gives_its_own_last_line_and_starts_nothing_more(stack: Stack) -> None:
    stack.setup = (sys.executable, "-c", "import sys; print('noise', file=sys.stderr); sys.exit('schema 9 is newer')")
    stack.start()
    assert stack.exit_status() == 1
    assert stack.complaint() == "gaia: schema 9 is newer"
    assert [event["role"] for event in stack.events("child_started")] == ["setup"]


def test_a_stop_during_the_set_up_is_obeyed(stack: Stack, tmp_path: Path) -> None:
    began = tmp_path / "began"
    stack.setup = (
        *(sys.executable, "-c"),
        f"import pathlib, os, time; pathlib.Path({str(began)!r}).write_text(str(os.getpid())); time.sleep(600)",
    )
    stack.start()
    setup_pid = int(until(lambda: lines_of(began), "the set-up begins")[0])
    os.kill(stack.pid, signal.SIGTERM)
    assert stack.exit_status() == 0
    assert not is_running(setup_pid)


def test_metrics_show_every_post_and_the_engine(stack: Stack) -> None:
    stack.settings = msgspec.structs.replace(stack.settings, metrics_port=0)
    stack.start()
    stack.wait_ready()
    stack.do("a", "echo")
    assert stack.result("a").ok
    os.kill(stack.pid_of("compute_worker", 1), signal.SIGKILL)
    port_file = stack.settings.run_dir / "metrics.port"
    port = int(until(lambda: lines_of(port_file), "the port is known")[0])

    def scraped() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
            return str(reply.read().decode())

    expected = (
        'gaia_child_process_restarts_total{role="compute_worker",slot="1"} 1.0',
        'gaia_child_process_restarts_total{role="io_engine",slot="0"} 0.0',
        'gaia_process_resident_memory_bytes{role="supervisor",slot="0"}',
        'gaia_process_cpu_seconds_total{role="compute_worker",slot="0"}',
        'gaia_ipc_queue_depth{queue="compute"} 0.0',
        'gaia_compute_job_duration_seconds_count{handler="echo"} 1.0',
        'gaia_io_event_loop_lag_seconds_bucket{le="+Inf"}',
        "gaia_engine_snapshot_age_seconds",
    )
    # Supervisor and engine count on their own; what the engine counts is shown at its next snapshot.
    text = until(lambda: text if all(line in (text := scraped()) for line in expected) else None, f"all of {expected}")
    for pid in children_of(stack.pid):
        assert f'"{pid}"' not in text


def test_a_taken_metrics_port_is_one_line_with_the_fix_and_starts_nothing(stack: Stack) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        stack.settings = msgspec.structs.replace(stack.settings, metrics_port=taken.getsockname()[1])
        stack.start()
        assert stack.exit_status() == 2
    (line,) = lines_of(stack.log_path)
    assert f"127.0.0.1:{stack.settings.metrics_port}" in line
    assert "GAIA_METRICS_PORT" in line


def test_a_data_folder_that_is_a_file_is_one_line_with_the_fix(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="ascii")
    stack.settings = msgspec.structs.replace(stack.settings, data_dir=str(tmp_path / "file" / "data"))
    stack.start()
    assert stack.exit_status() == 2
    (line,) = lines_of(stack.log_path)
    assert "cannot be used" in line
    assert "GAIA_DATA_DIR" in line


def test_workers_that_cannot_start_trip_the_intensity_too(stack: Stack) -> None:
    stack.restart = RestartPolicy(first_delay_s=0.01, longest_delay_s=0.02, max_failures=2)
    stack.registry = "not a registry"
    stack.start()
    assert stack.exit_status() == 1
    assert "compute_worker" in stack.complaint()
    assert "ended more than 2 times within 60 s" in stack.complaint()


@pytest.mark.database
def test_the_embedded_database_is_started_first_restarted_and_stopped_last(server_folder: Path) -> None:
    stack = Stack(server_folder)
    stack.settings = msgspec.structs.replace(stack.settings, database_url=None)
    # The set-up only proves that the server answers under the address that it is given.
    stack.setup = (sys.executable, "-c", _CONNECT)
    stack.start()
    try:
        stack.wait_ready()
        (before,) = (event["pid"] for event in stack.events("child_started") if event["role"] == "postgres")
        server = _postmaster(stack)
        assert server in children_of(stack.pid)
        os.kill(server, signal.SIGKILL)
        until(lambda: _postmaster(stack) not in (None, server), "PostgreSQL is started again")
        family = children_of(stack.pid)
        os.kill(stack.pid, signal.SIGTERM)
        assert stack.exit_status(60.0) == 0
        assert_all_gone(family)
        ended = [event["role"] for event in stack.events("child_ended")]
        assert ended[-1] == "postgres"
        assert before == server
    finally:
        if stack.process is not None and stack.process.poll() is None:
            stack.process.kill()
            stack.process.wait(10)


@pytest.mark.database
def test_the_embedded_database_does_not_outlive_a_killed_supervisor(server_folder: Path) -> None:
    stack = Stack(server_folder)
    stack.settings = msgspec.structs.replace(stack.settings, database_url=None)
    stack.start()
    stack.wait_ready()
    family = children_of(stack.pid)
    assert len(family) == 4
    os.kill(stack.pid, signal.SIGKILL)
    stack.exit_status()
    assert_all_gone(family)


_CONNECT = """
import asyncio, asyncpg, sys
from gaia.validator.utils.settings import Settings
async def main():
    connection = await asyncpg.connect(Settings.from_json(sys.stdin.buffer.read()).database_dsn, timeout=10)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
asyncio.run(main())
"""


def _postmaster(stack: Stack) -> int | None:
    """The running server's pid, as it says itself."""
    lines = lines_of(stack.settings.data_dir / "postgres" / "postmaster.pid")
    pid = int(lines[0]) if lines else None
    return pid if pid is not None and is_running(pid) else None
