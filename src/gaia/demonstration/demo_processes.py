"""The processes of the demonstration: validator and miners. Owns them all, and leaves none behind.

Each is tied to this process by the parent-death signal, so that they end even if this one is killed.
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
    """A process of the demonstration has ended too early."""


class DemoProcesses:
    """Starts and ends processes; use as a context manager, from the main thread."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> DemoProcesses:
        self._log_dir.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        """End everything, all at once, each in its own order; kill what does not. A second Ctrl-C changes nothing."""
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
        """Start a Python module of ours, its output into a log file; `settings` is all that it sees of ours."""
        with self.log_path(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", *arguments, "--ppid", str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**_foreign_environment(), **settings},
                cwd=self._data_dir,  # no .env of the operator's lies there
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise ProcessFell, with its last words, if any process has ended."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise ProcessFell(f"{name} ended with status {process.returncode}: {self._last_words(name)}")

    def log_path(self, name: str) -> Path:
        """Where a process writes its log."""
        return self._log_dir / f"{name}.log"

    @property
    def _log_dir(self) -> Path:
        return self._data_dir / "logs"

    def _last_words(self, name: str) -> str:
        path = self.log_path(name)
        lines = path.read_bytes()[-_LAST_WORDS_BYTES:].decode(errors="replace").strip().splitlines()
        return f"{lines[-1].removeprefix('gaia: ') if lines else 'it said nothing'} (see {path})"


def _foreign_environment() -> dict[str, str]:
    """This process's environment without the operator's own settings, which are for another validator."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith("GAIA_") and name != "DATABASE_URL"
    }
