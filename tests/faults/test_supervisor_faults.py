"""The supervisor and what all of them stand on: signals, disk, descriptors, clocks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gaia.validator.app.children import python_module
from tests.faults.loaded_stack import LoadedStack
from tests.support.backbone_stack import Stack
from tests.support.fault_report import Ledger, Witness
from tests.support.waiting import is_running, lines_of, until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]

SUPERVISOR = "supervisor"
MACHINE = "machine"
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
    loaded.witness.saw("engine and both workers gone; the next start finished the 60 units")


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
    assert stack.exit_status() == 0
    loaded.gone(family, within_s=0.5)
    stopped_after_s = loaded.witness.recovered_s
    assert stack.events("child_killed") == []
    left = len(names) - loaded.finished(names)
    assert left > 0
    loaded.start()
    loaded.account()
    loaded.witness.recovered_s = stopped_after_s
    loaded.witness.saw(f"exit status 0, nobody killed; {left} units left to the next start; each of 60 begun once")


@pytest.mark.fault(
    SUPERVISOR, "Ctrl-C twice, a unit running that ends in an hour", must="the second one skips the grace"
)
def test_control_c_twice(loaded: LoadedStack, tmp_path: Path) -> None:
    stack = loaded.stack
    loaded.replace_settings(grace_s=3600.0)
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
    loaded.replace_settings(grace_s=0.5)
    loaded.start()
    stack.wait_ready()
    stack.do("deaf", "ignore_sigterm", began=str(tmp_path / "began"))
    until(lambda: lines_of(tmp_path / "began"), "its ears are shut")
    family = loaded.family()
    os.kill(stack.pid, signal.SIGTERM)
    loaded.witness.strike()
    assert stack.exit_status() == 0
    loaded.gone(family, within_s=0.5)
    loaded.witness.saw("exit status 0, no process left")


@pytest.mark.fault(
    SUPERVISOR, "two on one data folder", must="the second is refused in one line; the first is not disturbed"
)
def test_two_supervisors(loaded: LoadedStack) -> None:
    stack = loaded.stack
    loaded.start()
    stack.wait_ready()
    names = loaded.give(20, **PAUSE)
    loaded.witness.strike()
    second = subprocess.run(
        python_module("tests.support.backbone_supervisor", str(stack.folder / "plan.json")),
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    loaded.witness.recover()
    assert second.returncode == 2
    (line,) = second.stderr.splitlines()
    assert f"another validator (pid {stack.pid}) runs on" in line
    loaded.account()
    loaded.witness.saw(f"exit status 2, naming pid and folder; the first one's {len(names)} units done once")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, check=False, timeout=10
    )
    if mounted.returncode != 0:
        pytest.skip("mounting needs privileges")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True, timeout=10)


@pytest.mark.fault(MACHINE, "data folder full", must="a unit that writes fails as data; the others and restarts go on")
def test_a_full_data_folder(loaded: LoadedStack, small_disk: Path) -> None:
    stack = loaded.stack
    loaded.replace_settings(data_dir=str(small_disk / "data"))
    stack.engine = (
        *python_module("tests.support.backbone_engine", "--folder", str(stack.folder)),
        *("--socket", str(stack.settings.engine_socket)),
    )
    loaded.start()
    stack.wait_ready()
    stack.do("glutton", "fill_disk", path=str(small_disk / "data" / "block"))
    error = stack.result("glutton").error
    assert error is not None
    assert (error.code, "No space left on device" in error.message) == ("os_error", True)
    assert shutil.disk_usage(small_disk).free == 0
    worker, engine = stack.pid_of("compute_worker"), stack.pid_of("io_engine")
    os.kill(worker, signal.SIGKILL)
    os.kill(engine, signal.SIGKILL)
    loaded.strike()
    names = loaded.give(20, **PAUSE)
    loaded.serves_again()
    until(lambda: stack.pid_of("compute_worker") != worker, "the worker is started again")
    loaded.account()
    os.kill(stack.pid, signal.SIGTERM)
    assert stack.exit_status() == 0
    loaded.witness.saw(f"`os_error: No space left on device`; both came back on the full disk; {len(names)} units done")


@pytest.mark.fault(MACHINE, "64 open files allowed to each process", must="12 workers and their engine work within it")
def test_a_low_limit_on_open_files(loaded: LoadedStack, full: bool) -> None:
    # Each worker costs the engine three descriptors (its stream, its end, its memory) and the supervisor two.
    workers = 12 if full else 3
    stack = loaded.stack
    loaded.replace_settings(compute_workers=workers)
    loaded.witness.strike()
    loaded.start(open_files=64)
    names = loaded.give(200 if full else 60)
    until(lambda: loaded.finished(names) == len(names), "all units are done", 120.0)
    loaded.serves_again()
    loaded.account()
    assert stack.process is not None
    assert stack.process.poll() is None
    loaded.witness.saw(
        f"{workers} workers, {len(names)} units: each done once; three descriptors of the engine's for each worker"
    )


_SHIFTED_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long shift(void) {
    return access(getenv("SHIFT_FILE"), F_OK) == 0 ? -3600 : 0;
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(clock, now);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) now->tv_sec += shift();
    return status;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    static int (*real)(struct timeval *restrict, void *restrict);
    if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
    int status = real(now, zone);
    now->tv_sec += shift();
    return status;
}
time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
"""


@pytest.fixture
def shifted_clock(tmp_path: Path) -> Path:
    """A library to be preloaded: it sets the wall clock an hour back once SHIFT_FILE exists. Monotonic time is true."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    source, library = tmp_path / "clock.c", tmp_path / "clock.so"
    source.write_text(_SHIFTED_CLOCK, encoding="ascii")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=60)
    return library


@pytest.mark.fault(
    MACHINE, "wall clock stepped an hour back", must="deadlines and restarts follow monotonic time: as before"
)
def test_a_clock_that_goes_back(loaded: LoadedStack, shifted_clock: Path, tmp_path: Path) -> None:
    stack, shift = loaded.stack, tmp_path / "shift"
    loaded.start(environment={"LD_PRELOAD": str(shifted_clock), "SHIFT_FILE": str(shift)})
    stack.wait_ready()
    stack.do("before", "wall_clock")
    names = loaded.give(60, **PAUSE)
    until(lambda: loaded.finished(names) >= 5, "units flow")
    before = stack.result("before").value
    shift.touch()
    loaded.witness.strike()  # strikes no unit: all must run once
    stack.do("after", "wall_clock")
    after = stack.result("after").value
    assert before is not None
    assert after is not None
    assert -3601 < after["time_s"] - before["time_s"] < -3500  # the processes do see the step
    worker = stack.pid_of("compute_worker")
    loaded.account()
    os.kill(worker, signal.SIGKILL)
    loaded.serves_again()
    until(lambda: stack.pid_of("compute_worker") != worker, "the worker is started again")
    os.kill(stack.pid, signal.SIGTERM)
    assert stack.exit_status() == 0
    assert stack.events("child_killed") == []
    loaded.witness.saw(
        "60 units in flight undisturbed, each begun once; a worker killed after it came back; orderly stop"
    )
