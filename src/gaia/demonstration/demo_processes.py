"""Starts and ends the processes of the demonstration: validator and miners. Leaves none behind.

The parent-death signal ends each of them even if this process is killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from gaia.contracts.errors import ValidatorFault

_END_WITHIN_S = 20.0
_LAST_WORDS_BYTES = 4096


class ProcessFell(ValidatorFault):
    """A process of the demonstration ended too early."""


class DemoProcesses:
    """Starts and ends processes. Use it as a context manager, from the main thread."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> DemoProcesses:
        self._log_dir.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        """End all processes at the same time, and kill those that do not end. A second Ctrl-C has no effect."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _END_WITHIN_S
        for process in self._processes.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self, name: str, arguments: Sequence[str], settings: Mapping[str, str]) -> None:
        """Start one of our Python modules, with its output in a log file. It gets only `settings` as its settings."""
        with self.log_path(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", *arguments, "--ppid", str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**_foreign_environment(), **settings},
                cwd=self._data_dir,  # the operator's .env is not there
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise ProcessFell, with the last line of its log, if any process has ended."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise ProcessFell(f"{name} ended with status {process.returncode}: {self._last_words(name)}")

    def log_path(self, name: str) -> Path:
        """The path of a process's log."""
        return self._log_dir / f"{name}.log"

    @property
    def _log_dir(self) -> Path:
        return self._data_dir / "logs"

    def _last_words(self, name: str) -> str:
        path = self.log_path(name)
        lines = path.read_bytes()[-_LAST_WORDS_BYTES:].decode(errors="replace").strip().splitlines()
        return f"{lines[-1].removeprefix('gaia: ') if lines else 'its log is empty'} (see {path})"


def _foreign_environment() -> dict[str, str]:
    """This process's environment without the operator's settings, which are for another validator."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith("GAIA_") and name != "DATABASE_URL"
    }
