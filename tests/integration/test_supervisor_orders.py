"""What the supervisor does at SIGHUP, SIGUSR1 and for a service manager, and what it will not put up with."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path

import msgspec
import pytest

from gaia.validator.app.processes.child import python_module
from gaia.validator.app.processes.restart_policy import RestartPolicy
from gaia.validator.utils.settings import Settings
from tests.support.backbone_stack import ELSEWHERE, Stack, assert_all_gone, ended
from tests.support.disks import tmpfs_of
from tests.support.waiting import children_of, is_running, lines_of, until

pytestmark = pytest.mark.processes

MIB = 1024 * 1024


def renewed(stack: Stack, settings: Settings) -> None:
    """The next reading of the settings will give these."""
    (stack.folder / "settings.json").write_bytes(settings.to_json())


@pytest.fixture
def readable(stack: Stack) -> Stack:
    """A stack whose settings can be read again."""
    return with_settings_to_read(stack)


def with_settings_to_read(stack: Stack) -> Stack:
    code = (
        "import os, pathlib\n"
        f"assert os.environ.get('DATABASE_URL') != {ELSEWHERE!r}, 'the server that we run is no setting'\n"
        f"print(pathlib.Path({str(stack.folder / 'settings.json')!r}).read_text())"
    )
    stack.settings_program = (sys.executable, "-c", code)
    renewed(stack, stack.settings)
    return stack


def workers(stack: Stack) -> list[int]:
    return [stack.pid_of("compute_worker", slot) for slot in range(stack.settings.compute_workers)]


def test_a_rolling_restart_replaces_every_worker_and_loses_no_unit(readable: Stack, tmp_path: Path) -> None:
    stack, log = readable, tmp_path / "log"
    stack.start()
    stack.wait_ready()
    before, engine = workers(stack), stack.pid_of("io_engine")
    for number in range(40):
        stack.do(f"a{number}", "record", path=str(log), name=str(number))
    os.kill(stack.pid, signal.SIGHUP)
    for number in range(40, 80):
        stack.do(f"a{number}", "record", path=str(log), name=str(number))
    until(lambda: stack.events("rolling_restart_done"), "all are replaced")
    results = [stack.result(f"a{number}") for number in range(80)]
    assert all(result.ok and result.attempt == 1 for result in results)
    assert sorted(lines_of(log), key=int) == [str(number) for number in range(80)]
    assert not set(before) & set(workers(stack))
    assert not any(is_running(pid) for pid in before)
    assert stack.pid_of("io_engine") == engine
    # One after the other: the second was asked to go when the first one's successor was ready.
    assert [event["how"] for event in stack.events("child_ended") if event["role"] == "compute_worker"] == [
        "exit status 0"
    ] * 2


def test_new_limits_reach_the_workers_and_what_needs_a_restart_is_named(readable: Stack) -> None:
    stack = readable
    stack.start()
    stack.wait_ready()
    renewed(stack, msgspec.structs.replace(stack.settings, worker_hard_memory_mib=512, metrics_port=9465))
    os.kill(stack.pid, signal.SIGHUP)
    until(lambda: stack.events("rolling_restart_done"), "all are replaced")
    (warning,) = stack.events("settings_need_restart")
    assert warning["names"] == ["GAIA_METRICS_PORT"]
    (taken_up,) = stack.events("settings_taken_up")
    assert taken_up["names"] == ["GAIA_WORKER_HARD_MEMORY_MIB"]
    argv = Path(f"/proc/{workers(stack)[0]}/cmdline").read_bytes().split(b"\0")
    assert argv[argv.index(b"--data-limit-bytes") + 1] == str(3 * 512 * MIB).encode()


def test_new_settings_replace_the_engine_too_and_lose_no_unit(readable: Stack, tmp_path: Path) -> None:
    stack, log = readable, tmp_path / "log"
    stack.start()
    stack.wait_ready()
    before, engine = workers(stack), stack.pid_of("io_engine")
    for number in range(40):
        stack.do(f"a{number}", "record", path=str(log), name=str(number))
    renewed(stack, msgspec.structs.replace(stack.settings, miner_timeout_s=7.0))
    os.kill(stack.pid, signal.SIGHUP)
    until(lambda: stack.events("rolling_restart_done"), "all are replaced")
    assert all(stack.result(f"a{number}").ok for number in range(40))
    assert sorted(lines_of(log), key=int) == [str(number) for number in range(40)]
    assert stack.pid_of("io_engine") != engine
    assert not set(before) & set(workers(stack))
    assert {event["how"] for event in stack.events("child_ended")} == {"exit status 0"}


def test_the_engine_gets_what_the_supervisor_goes_by_and_no_password_stands_where_others_look(
    readable: Stack,
) -> None:
    stack = readable
    stack.settings = msgspec.structs.replace(stack.settings, database_url="postgresql://me:pass-word@host/gaia")
    stack.start()
    stack.wait_ready()
    engine = Path(f"/proc/{stack.pid_of('io_engine')}")
    assert Settings.from_json((engine / "fd" / "0").read_bytes()) == stack.settings
    told = msgspec.structs.replace(stack.settings, data_dir=Path("/elsewhere"), compute_workers=7, job_concurrency=9)
    renewed(stack, told)
    os.kill(stack.pid, signal.SIGHUP)
    until(lambda: stack.events("rolling_restart_done"), "all are replaced")
    engine = Path(f"/proc/{stack.pid_of('io_engine')}")
    taken_up = msgspec.structs.replace(stack.settings, job_concurrency=9)
    assert Settings.from_json((engine / "fd" / "0").read_bytes()) == taken_up
    for place in ("environ", "cmdline"):
        assert b"pass-word" not in (engine / place).read_bytes()
    worker = Path(f"/proc/{workers(stack)[0]}")
    assert worker.joinpath("fd", "0").readlink() == Path("/dev/null")
    held = [str(link.readlink()) for link in Path(f"/proc/{stack.pid}/fd").iterdir()]
    assert not [name for name in held if "memfd" in name]


def test_settings_that_cannot_be_used_change_nothing(readable: Stack) -> None:
    stack = readable
    stack.start()
    stack.wait_ready()
    before = workers(stack)
    (stack.folder / "settings.json").write_text("{")
    os.kill(stack.pid, signal.SIGHUP)
    until(lambda: stack.events("settings_refused"), "they are refused")
    stack.do("a", "echo")
    assert stack.result("a").ok
    assert workers(stack) == before


def test_an_engine_that_gives_up_while_settings_are_read_ends_the_validator_all_the_same(
    stack: Stack, tmp_path: Path
) -> None:
    reading, go_on = tmp_path / "reading", tmp_path / "go-on"
    code = (
        f"import pathlib, time\npathlib.Path({str(reading)!r}).touch()\n"
        f"while not pathlib.Path({str(go_on)!r}).exists(): time.sleep(0.01)"
    )
    stack.settings_program = (sys.executable, "-c", code)
    stack.settings = msgspec.structs.replace(stack.settings, compute_workers=1)
    stack.restart = RestartPolicy(first_delay_s=0.01, longest_delay_s=0.02, max_failures=2)
    stack.start()
    stack.wait_ready()
    os.kill(stack.pid, signal.SIGHUP)
    until(reading.exists, "the settings are being read")

    def has_ended() -> bool:
        with contextlib.suppress(ProcessLookupError):  # the one before, already collected
            os.kill(stack.pid_of("io_engine"), signal.SIGKILL)
        return stack.process is not None and stack.process.poll() is not None

    until(has_ended, "the validator ends")
    assert stack.exit_status() == 1
    assert stack.complaint().startswith("gaia: io_engine ended more than 2 times")
    assert not stack.events("settings_refused")


def test_settings_are_read_while_no_file_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    # A short folder, in which sockets have room: else they would lie where files are made.
    with tempfile.TemporaryDirectory(prefix="gaia-") as folder, ended(Stack(Path(folder))) as stack:
        with_settings_to_read(stack)
        stack.settings = msgspec.structs.replace(stack.settings, compute_workers=1)
        nowhere = stack.folder / "nowhere"
        nowhere.mkdir()
        monkeypatch.setenv("TMPDIR", str(nowhere))
        stack.start()
        stack.wait_ready()
        nowhere.rmdir()
        os.kill(stack.pid, signal.SIGHUP)
        until(lambda: stack.events("rolling_restart_done"), "the worker is replaced")


def test_the_state_is_printed_at_sigusr1(stack: Stack, tmp_path: Path) -> None:
    stack.start()
    stack.wait_ready()
    payload = {"began": str(tmp_path / "began"), "until": str(tmp_path / "release"), "fraction": 0.5, "note": "half"}
    stack.do("a", "report_then_wait", **payload)
    until(lambda: lines_of(tmp_path / "began"), "the unit begins")
    os.kill(stack.pid, signal.SIGUSR1)
    (state,) = until(lambda: stack.events("state"), "the state is printed")
    assert [(child["role"], child["slot"], child["ready"]) for child in state["children"]] == [
        ("io_engine", 0, True),
        ("compute_worker", 0, True),
        ("compute_worker", 1, True),
    ]
    assert {child["pid"] for child in state["children"]} == set(children_of(stack.pid))
    assert all(child["resident_mib"] > child["anonymous_mib"] > 1 for child in state["children"])
    assert state["engine"]["units_failed"] == 0
    assert state["engine"]["age_s"] >= 0
    (tmp_path / "release").touch()
    assert stack.result("a").ok
    assert stack.process is not None
    assert stack.process.poll() is None


def test_a_service_manager_hears_of_start_reload_life_and_stop(
    readable: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = readable
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        stack.settings = msgspec.structs.replace(stack.settings, compute_workers=1)
        renewed(stack, stack.settings)
        stack.start()

        def heard_until(word: str) -> list[str]:
            heard = [manager.recv(4096).decode()]
            while not heard[-1].startswith(word):
                heard.append(manager.recv(4096).decode())
            return heard

        starting = heard_until("READY=1")
        assert starting[0] == "WATCHDOG=1"
        stack.wait_ready()
        heard_until("WATCHDOG=1")
        os.kill(stack.pid, signal.SIGHUP)
        assert not [each for each in heard_until("RELOADING=1") if each.startswith("READY")]
        heard_until("READY=1")
        os.kill(stack.pid, signal.SIGTERM)
        heard_until("STOPPING=1")
        assert stack.exit_status() == 0


def test_a_service_manager_is_told_every_trouble_that_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="gaia-") as folder,  # short, so that sockets have room in it
        tmpfs_of(Path(folder) / "disk", "size=200m") as disk,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        ended(Stack(Path(folder))) as stack,
    ):
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        stack.settings = msgspec.structs.replace(stack.settings, data_dir=disk / "data")
        stack.restart = RestartPolicy(first_delay_s=0.01, longest_delay_s=0.02, max_failures=2)
        stack.engine = (*stack.engine[:-1], str(stack.settings.engine_socket))
        stack.start()
        stack.wait_ready()

        def next_status() -> str:
            while "STATUS=" not in (said := manager.recv(4096).decode()):
                pass
            return said.partition("STATUS=")[2]

        assert next_status() == "running"
        with (disk / "block").open("wb") as block:
            os.posix_fallocate(block.fileno(), 0, 100 * MIB)
        assert next_status() == "running; waiting for room on the disk of the data folder"
        (disk / "block").unlink()
        assert next_status() == "running"
        kill_until_given_up(stack, slot=1)
        degraded = next_status()
        assert degraded.startswith("running; degraded: compute_worker 1 ended more than 2 times")
        with (disk / "block").open("wb") as block:
            os.posix_fallocate(block.fileno(), 0, 100 * MIB)
        assert next_status() == f"{degraded}; waiting for room on the disk of the data folder"
        (disk / "block").unlink()
        assert next_status() == degraded


def kill_until_given_up(stack: Stack, slot: int) -> None:
    """Killed before it has dialled in, a worker speaks against its slot."""
    while not stack.events("slot_given_up"):
        with contextlib.suppress(ProcessLookupError):  # the one before, already collected
            os.kill(stack.pid_of("compute_worker", slot), signal.SIGKILL)


def test_an_engine_that_refuses_after_it_has_worked_is_tried_until_it_is_mended(stack: Stack, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    code = (
        "import pathlib, sys, time\n"
        "from gaia.validator.app.telemetry.engine_snapshot import EngineSnapshot, Refusal, SnapshotSender\n"
        "from gaia.validator.app.telemetry.histogram import HistogramSnapshot\n"
        "sender = SnapshotSender(int(sys.argv[-1]))\n"
        f"if pathlib.Path({str(broken)!r}).exists():\n"
        "    sender.send(Refusal(message='the key file is gone'))\n"
        "    sys.exit(2)\n"
        "lag = HistogramSnapshot(bounds_s=(), counts=(0,), sum_s=0.0)\n"
        "sender.send(EngineSnapshot(monotonic_s=0.0, loop_lag=lag, queue_depths={}, compute_durations={}))\n"
        "time.sleep(600)"
    )
    stack.engine = (sys.executable, "-c", code)
    stack.settings = msgspec.structs.replace(stack.settings, compute_workers=1)
    stack.restart = RestartPolicy(first_delay_s=0.01, longest_delay_s=0.02, max_failures=2)
    stack.start()

    def engines_ready() -> int:
        return sum(event["role"] == "io_engine" for event in stack.events("child_ready"))

    until(engines_ready, "the engine is ready")
    broken.touch()
    os.kill(stack.pid_of("io_engine"), signal.SIGKILL)
    until(lambda: len(stack.events("child_refused")) > 4, "it is tried more often than the restart intensity allows")
    assert {event["why"] for event in stack.events("child_refused")} == {"the key file is gone"}
    broken.unlink()
    until(lambda: engines_ready() == 2, "the engine is ready again")


def test_a_slot_that_keeps_failing_is_given_up_the_rest_works_and_the_end_says_so(stack: Stack, tmp_path: Path) -> None:
    stack.restart = RestartPolicy(first_delay_s=0.01, longest_delay_s=0.02, max_failures=2)
    stack.start()
    stack.wait_ready()
    kill_until_given_up(stack, slot=1)
    (event,) = stack.events("slot_given_up")
    assert (event["role"], event["slot"]) == ("compute_worker", 1)
    stack.do("a", "echo")
    assert stack.result("a").ok
    os.kill(stack.pid, signal.SIGTERM)
    assert stack.exit_status() == 1
    assert stack.complaint().startswith("gaia: stopped as asked, but it had run degraded: compute_worker 1 ended")


def test_an_engine_whose_loop_is_stuck_shows_its_stack_and_is_replaced(stack: Stack, tmp_path: Path) -> None:
    told = tmp_path / "stall"
    stack.engine = tuple(python_module("tests.support.stalling_engine", "--stall-at", str(told)))
    stack.settings = msgspec.structs.replace(stack.settings, engine_stall_limit_s=2.0, compute_workers=1)
    stack.start()
    until(lambda: stack.events("child_ready"), "the engine is ready")
    engine = stack.pid_of("io_engine")
    told.touch()
    until(lambda: stack.pid_of("io_engine") != engine, "the engine is replaced")
    (stalled,) = stack.events("engine_stalled")
    assert stalled["pid"] == engine
    lines = lines_of(stack.log_path)
    shown = next(number for number, line in enumerate(lines) if "in the_loop_is_stuck_here" in line)
    assert shown < next(number for number, line in enumerate(lines) if "engine_stalled" in line)
    ends = [event["how"] for event in stack.events("child_ended") if event["role"] == "io_engine"]
    assert ends == ["killed by signal 9"]


def test_an_engine_that_refuses_its_settings_says_so_in_one_line(stack: Stack) -> None:
    code = (
        "import sys\n"
        "from gaia.validator.app.telemetry.engine_snapshot import Refusal, SnapshotSender\n"
        "SnapshotSender(int(sys.argv[-1])).send(Refusal(message='GAIA_TRUTH is not set'))\n"
        "sys.exit(2)"
    )
    stack.engine = (sys.executable, "-c", code)
    stack.start()
    assert stack.exit_status() == 2
    assert [line for line in lines_of(stack.log_path) if not line.startswith("{")] == ["gaia: GAIA_TRUTH is not set"]


def test_a_worker_far_past_its_memory_is_killed_by_the_supervisor_too(stack: Stack, tmp_path: Path) -> None:
    # The engine of these tests sets its workers no limit, as one would that is too busy to look.
    stack.settings = msgspec.structs.replace(stack.settings, worker_hard_memory_mib=100, compute_workers=1)
    stack.start()
    stack.wait_ready()
    victim = stack.pid_of("compute_worker")
    stack.do("a", "allocate", bytes=200 * MIB, until=str(tmp_path / "never"))
    (event,) = until(lambda: stack.events("worker_over_memory")[:1], "it is seen")
    assert (event["pid"], event["slot"]) == (victim, 0)
    assert event["memory_mib"] > 150
    error = stack.result("a").error
    assert error is not None
    assert error.code == "poison_unit"


@pytest.mark.database
def test_a_stop_while_the_database_is_being_made_is_obeyed_and_leaves_no_half_one(server_folder: Path) -> None:
    stack = Stack(server_folder)
    stack.settings = msgspec.structs.replace(stack.settings, database_url=None)
    stack.start()
    made = stack.settings.data_dir
    until(lambda: any(made.glob(".postgres.init-*")), "initdb has begun")
    family = children_of(stack.pid)
    os.kill(stack.pid, signal.SIGTERM)
    assert stack.exit_status() == 0
    assert_all_gone(family)
    assert not (made / "postgres").exists()  # what is left of the scratch folder, the next start sweeps
