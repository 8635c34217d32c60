"""The supervisor: killed, asked to stop in every way there is, started twice."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.loaded_stack import LoadedStack
from tests.support.backbone_stack import Stack
from tests.support.fault_report import Ledger, Witness
from tests.support.waiting import children_of, is_running, lines_of, until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]

SUPERVISOR = "supervisor"
PAUSE = {"act": "pause", "given": {"pause_s": 0.03}}


@pytest.fixture
def loaded(stack: Stack, ledger: Ledger, witness: Witness) -> LoadedStack:
    return LoadedStack(stack, ledger, witness)


@pytest.mark.fault(SUPERVISOR, "SIGKILLed under load", must="no process left within 2 s; the next start does the rest")
def test_a_killed_supervisor(loaded: LoadedStack) -> None:
    stack = loaded.stack
    loaded.start()
    stack.wait_ready()
    names = loaded.give(60, **PAUSE)
    until(lambda: loaded.finished(names) >= 5, "units flow")
    family = loaded.family()
    assert len(family) == 3
    os.kill(stack.pid, signal.SIGKILL)
    loaded.strike()
    stack.exit_status()
    loaded.gone(family, within_s=2.0)
    loaded.strike()  # what they began in their last moments
    gone_after_s = loaded.witness.recovered_s
    loaded.start()
    loaded.account()
    loaded.witness.recovered_s = gone_after_s
    loaded.witness.saw(f"{len(family)} children gone; the next start finished the {len(names)} units")


@pytest.mark.fault(SUPERVISOR, "SIGTERM under load", must="running units finish; the others wait for the next start")
def test_a_supervisor_asked_to_stop_under_load(loaded: LoadedStack) -> None:
    stack = loaded.stack
    loaded.start()
    stack.wait_ready()
    names = loaded.give(60, **PAUSE)
    until(lambda: loaded.finished(names) >= 5, "units flow")
    family = loaded.family()
    os.kill(stack.pid, signal.SIGTERM)
    loaded.witness.strike()  # strikes no unit: all must run once
    status = stack.exit_status()
    assert status == 0
    loaded.gone(family, within_s=0.5)
    stopped_after_s = loaded.witness.recovered_s
    killed = len(stack.events("child_killed"))
    assert killed == 0
    left = len(names) - loaded.finished(names)
    assert left > 0
    loaded.start()
    loaded.account()
    loaded.witness.recovered_s = stopped_after_s
    loaded.witness.saw(
        f"exit status {status}, {killed} killed; {left} units left to the next start; each of {len(names)} begun once"
    )


@pytest.mark.fault(
    SUPERVISOR, "Ctrl-C twice, a unit running that ends in an hour", must="the second one skips the grace"
)
def test_control_c_twice(loaded: LoadedStack, tmp_path: Path) -> None:
    stack = loaded.stack
    loaded.replace_settings(drain_grace_s=3600.0)
    loaded.start()
    stack.wait_ready()
    release = tmp_path / "release"
    loaded.give(1, act="wait_for_file", given={"began": str(tmp_path / "began"), "until": str(release)})
    until(lambda: lines_of(tmp_path / "began"), "the unit begins")
    family = loaded.family()
    os.kill(stack.pid, signal.SIGINT)
    until(lambda: stack.events("stop_requested"), "the stop begins")
    assert all(is_running(pid) for pid in family)
    os.kill(stack.pid, signal.SIGINT)
    loaded.strike()
    assert stack.exit_status() == 0
    loaded.gone(family, within_s=2.0)
    assert loaded.finished(["unit-00000"]) == 0
    stopped_after_s = loaded.witness.recovered_s
    release.touch()
    loaded.start()
    loaded.account()
    loaded.witness.recovered_s = stopped_after_s
    loaded.witness.saw(
        "the first waited for the unit; the second ended all, exit status 0; the next start did the unit"
    )


@pytest.mark.fault(SUPERVISOR, "a worker that ignores SIGTERM at the stop", must="killed after its grace; nothing left")
def test_a_stop_with_a_worker_that_ignores_it(loaded: LoadedStack, tmp_path: Path) -> None:
    stack = loaded.stack
    loaded.replace_settings(drain_grace_s=0.5)
    loaded.start()
    stack.wait_ready()
    stack.do("deaf", "ignore_sigterm", began=str(tmp_path / "began"))
    until(lambda: lines_of(tmp_path / "began"), "its ears are shut")
    family = loaded.family()
    os.kill(stack.pid, signal.SIGTERM)
    loaded.witness.strike()
    status = stack.exit_status()
    assert status == 0
    loaded.gone(family, within_s=0.5)
    deaf, *_ = lines_of(tmp_path / "began")
    (how,) = (event["how"] for event in stack.events("child_ended") if str(event["pid"]) == deaf)
    assert how == "killed by signal 9"
    loaded.witness.saw(f"it was {how}; exit status {status}, none of {len(family)} processes left")


_ON_A_TERMINAL = (
    "import os, signal, sys; signal.signal(signal.SIGHUP, signal.Handlers[sys.argv[1]]); os.setsid(); "
    "os.open(sys.argv[2], os.O_RDWR); os.execv(sys.argv[3], sys.argv[3:])"
)
"""Whoever leads a session without a terminal gets the first one that it opens: open(2), O_NOCTTY. What is done about
SIGHUP goes on to the program, as `nohup` has it; a test run may have been started with that itself.
"""
_SHELL = shutil.which("sh") or "/bin/sh"


@pytest.mark.parametrize(
    ("through", "status"),
    [
        pytest.param(
            *(through, status), marks=pytest.mark.fault(SUPERVISOR, fault, must="an orderly stop, as at SIGTERM")
        )
        for through, status, fault in (
            ((), 0, "its terminal is closed (SIGHUP)"),
            # `true`: else the shell would turn into the supervisor. It is the shell that the kernel tells; as it dies
            # of it, the supervisor is told.
            (
                (_SHELL, "-c", '"$@" 2>/dev/tty; true', "sh"),
                -signal.SIGHUP,
                "the terminal of its shell is closed, where its log went",
            ),
        )
    ],
)
def test_a_terminal_that_is_closed(loaded: LoadedStack, through: tuple[str, ...], status: int) -> None:
    stack = loaded.stack
    with contextlib.ExitStack() as window:
        kept_open, terminal = os.openpty()
        window.callback(os.close, kept_open)
        loaded.start(through=[sys.executable, "-c", _ON_A_TERMINAL, "SIG_DFL", os.ttyname(terminal), *through])
        os.close(terminal)
        names = loaded.give(60, **PAUSE)
        until(lambda: loaded.finished(names) >= 5, "units flow")
        supervisor = int((Path(stack.settings.data_dir) / "gaia.lock").read_text(encoding="ascii"))
        family = [supervisor, *children_of(supervisor)]
        assert len(family) == 4
    loaded.witness.strike()  # strikes no unit: all must run once
    loaded.gone(family, within_s=20.0)
    stopped_after_s = loaded.witness.recovered_s
    assert stack.exit_status() == status
    assert stack.events("child_killed") == []
    left = len(names) - loaded.finished(names)
    assert left > 0
    loaded.start()
    loaded.account()
    loaded.witness.recovered_s = stopped_after_s
    loaded.witness.saw(
        f"all {len(family)} processes ended; {left} units left to the next start; each of {len(names)} begun once"
    )


@pytest.mark.fault(SUPERVISOR, "its terminal is closed, it was started with nohup", must="goes on; no unit disturbed")
def test_a_terminal_that_is_closed_on_one_that_is_to_outlive_it(loaded: LoadedStack) -> None:
    stack = loaded.stack
    settings = stack.settings.to_json().decode()
    stack.settings_program = (sys.executable, "-c", f"print({settings!r})")
    with contextlib.ExitStack() as window:
        kept_open, terminal = os.openpty()
        window.callback(os.close, kept_open)
        loaded.start(through=[sys.executable, "-c", _ON_A_TERMINAL, "SIG_IGN", os.ttyname(terminal)])
        os.close(terminal)
        names = loaded.give(60, **PAUSE)
        until(lambda: loaded.finished(names) >= 5, "units flow")
        workers = {stack.pid_of("compute_worker", slot) for slot in (0, 1)}
    loaded.witness.strike()  # strikes no unit: all must run once
    until(lambda: stack.events("rolling_restart_done"), "it took the SIGHUP for one that renews its workers")
    loaded.serves_again()
    loaded.account()
    assert not workers & {stack.pid_of("compute_worker", slot) for slot in (0, 1)}
    os.kill(stack.pid, signal.SIGTERM)
    status = stack.exit_status()
    assert status == 0
    loaded.witness.saw(f"{len(names)} units, each begun once, while {len(workers)} workers were renewed; exit status "
                       f"{status} after SIGTERM")  # fmt: skip


@pytest.mark.fault(
    SUPERVISOR, "two on one data folder", must="the second is refused in one line; the first is not disturbed"
)
def test_two_supervisors(loaded: LoadedStack) -> None:
    stack = loaded.stack
    loaded.start()
    stack.wait_ready()
    names = loaded.give(20, **PAUSE)
    loaded.witness.strike()
    second = subprocess.run(stack.argv(), capture_output=True, text=True, check=False, timeout=30)
    loaded.witness.recover()
    assert second.returncode == 2
    (line,) = second.stderr.splitlines()
    assert f"another validator (pid {stack.pid}) runs on" in line
    loaded.account()
    loaded.witness.saw(
        f"exit status {second.returncode}, naming pid and folder; the first one's {len(names)} units done once"
    )


@pytest.mark.fault(SUPERVISOR, "five started at one moment on one data folder", must="one runs, the others are refused")
def test_supervisors_that_race(loaded: LoadedStack) -> None:
    stack = loaded.stack
    names = loaded.give(20, **PAUSE)
    loaded.witness.strike()
    with stack.log_path.open("ab") as log:
        rivals = [subprocess.Popen(stack.argv(), stdin=subprocess.DEVNULL, stderr=log) for _ in range(5)]
    try:
        until(lambda: sum(rival.poll() is not None for rival in rivals) == 4, "four have ended")
        loaded.witness.recover()
        (stack.process,) = (rival for rival in rivals if rival.poll() is None)
        refused = [rival.returncode for rival in rivals if rival is not stack.process]
        assert refused == [2, 2, 2, 2]
        assert sum("another validator (pid " in line for line in lines_of(stack.log_path)) == len(refused)
        loaded.account()
        assert len(stack.events("validator_ready")) == 1
    finally:
        for rival in rivals:
            rival.terminate()
            rival.wait(20)
    loaded.witness.saw(f"{len(refused)} refused with exit status 2; the fifth did {len(names)} units, each once")
