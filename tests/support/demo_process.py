"""Runs the command line as a person does, in a process of its own, and looks for what it leaves behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from tests.support.real_data import ERA5_GRIB
from tests.support.waiting import is_running, until

REAL_INPUT = ("--truth", str(ERA5_GRIB), "--member", "0")
"""Options of the demonstration on real input."""

DEMO_WITHIN_S = 360.0
"""Far more than a demonstration takes, even on a machine with much else to do."""
GONE_WITHIN_S = 30.0
COMMAND_WITHIN_S = 60.0
COVERAGE_SETTING = "COVERAGE_PROCESS_CONFIG"
"""Coverage measures the Python processes that find this in their environment."""


def gaia(*arguments: str) -> list[str]:
    """The command line of a `gaia` command."""
    return [sys.executable, "-m", "gaia.cli.main", *arguments]


def foreign_environment(**settings: str) -> dict[str, str]:
    """This process's environment without settings of ours, and with these."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith("GAIA_") and n != "DATABASE_URL"}
    return {**kept, "COLUMNS": "80", **settings}


def unmeasured(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what makes coverage measure a process, which takes it 0.2 s of processor time to begin."""
    return {name: value for name, value in environment.items() if name != COVERAGE_SETTING}


def run_gaia(
    *arguments: str, settings: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, which must come soon."""
    return subprocess.run(
        gaia(*arguments),
        env=foreign_environment(**(settings or {})),
        cwd=cwd or tempfile.gettempdir(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_WITHIN_S,
        check=False,
    )


@contextmanager
def public_folder(prefix: str) -> Iterator[Path]:
    """A new folder that PostgreSQL's unprivileged account can reach (pytest's own is 0700), of short path."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Demo:
    """One `gaia demo` in a folder of its own; its some twenty processes run more quickly unmeasured."""

    def __init__(self, folder: Path, *options: str, measured: bool = False) -> None:
        self.data_dir = folder / "data"
        self.json_file = folder / "result.json"
        self.output_path = folder / "output.txt"
        with self.output_path.open("wb") as output, _interruptible():
            self.process = subprocess.Popen(
                gaia("demo", "--data-dir", str(self.data_dir), "--json", str(self.json_file), *options),
                env=foreign_environment() if measured else unmeasured(foreign_environment()),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self.output_path.read_text(encoding="utf-8")

    @property
    def validator_log(self) -> str:
        """What its validator has logged so far."""
        path = self.data_dir / "logs" / "validator.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def events(self, name: str) -> list[dict[str, Any]]:
        """The validator's log lines of one event."""
        lines = [line for line in self.validator_log.splitlines() if line.startswith("{") and line.endswith("}")]
        return [event for event in map(msgspec.json.decode, lines) if event["event"] == name]

    def report(self) -> dict[str, Any]:
        """What it wrote as JSON."""
        return dict(msgspec.json.decode(self.json_file.read_bytes()))

    def wait(self) -> int:
        """Its exit status, once it has ended."""
        return self.process.wait(DEMO_WITHIN_S)

    def wait_for_output(self, text: str) -> None:
        """Until it has printed this."""
        until(lambda: text in self.output or self._fail_if_ended(text), f"the output {text!r}", DEMO_WITHIN_S)

    def wait_for_event(self, name: str, count: int = 1) -> None:
        """Until its validator has logged this so many times."""
        what = f"{count} log events {name}"
        until(lambda: len(self.events(name)) >= count or self._fail_if_ended(what), what, DEMO_WITHIN_S)

    def pids_of(self, module: str) -> list[int]:
        """Its processes that run a module of ours."""
        return [pid for pid in processes_in(self.data_dir) if module in _command_line(pid)]

    def close(self) -> None:
        """End it if it still runs; what it started ends with it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(GONE_WITHIN_S)

    def assert_nothing_left(self) -> None:
        """No process that works in its folder, and no socket there, after a bounded wait."""
        until(lambda: not processes_in(self.data_dir), f"no process left in {self.data_dir}", GONE_WITHIN_S)
        assert sockets_in(self.data_dir) == []

    def _fail_if_ended(self, awaited: str) -> bool:
        assert self.process.poll() is None, f"ended before {awaited}: {self.output}\n{self.validator_log[-2000:]}"
        return False


@contextmanager
def _interruptible() -> Iterator[None]:
    """A process started here heeds SIGINT, even if the tests were told to ignore it, as `nohup ... &` tells them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def demo_of(*options: str, measured: bool = False) -> Iterator[Demo]:
    """A running demonstration, gone with its folder at the end."""
    with public_folder("gaia-demo-test-") as folder:
        demo = Demo(folder, *options, measured=measured)
        try:
            yield demo
        finally:
            demo.close()
            until(lambda: not processes_in(demo.data_dir), "the demonstration's processes are gone", GONE_WITHIN_S)


def processes_in(folder: Path) -> list[int]:
    """The live processes that work in a folder or were told of it, other than this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(os.getpid()) and is_running(int(entry.name)):
            pid = int(entry.name)
            if str(folder) in _command_line(pid) or _works_in(pid, folder):
                found.append(pid)
    return found


def sockets_in(folder: Path) -> list[Path]:
    """The Unix sockets below a folder."""
    return [path for path in folder.rglob("*") if path.is_socket()]


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _works_in(pid: int, folder: Path) -> bool:
    """By its working folder: PostgreSQL's processes rename themselves."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink().is_relative_to(folder)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
