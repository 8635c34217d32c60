"""Runs a demonstration from start to end: checks the options, prepares the folder, runs it, and cleans up.

When `run_demo` returns, no process and no socket is left, even after an error or Ctrl-C.
"""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct

from gaia.contracts.clock import SystemClock
from gaia.contracts.errors import ConfigurationError
from gaia.demonstration.demo_miners import guest
from gaia.demonstration.demo_processes import DemoProcesses
from gaia.demonstration.demo_run import DemoOutcome, DemoPlan, DemoRun, DemoState
from gaia.demonstration.report import as_json
from gaia.demonstration.scenario import Scenario, real_scenario, twin_scenario
from gaia.miner.model_choice import ModelChoice, check_choice
from gaia.validator.utils.settings import Settings

_WINDOW_ON_AN_IDLE_MACHINE_S = 15.0
"""About three times as long as the slowest miner needs on two idle cores."""
_LONGEST_WINDOW_S = 120.0
_LEAST_FREE_BYTES = 1_000_000_000
"""PostgreSQL's write-ahead log, the forecasts of all miners and the decoded fields together take about half of it."""


class Options(Struct, frozen=True, kw_only=True):
    """The options of the command line."""

    truth: str | None
    member: int | None
    climatology: str | None
    model: str | None
    """Your own model, as one more miner."""
    data_dir: Path | None
    """None: a new folder below the temporary folder."""
    json_file: Path | None
    workers: int
    commit_window_s: float | None
    """None: chosen by the load of this machine."""


class View(Protocol):
    """Shows the demonstration to a user."""

    def opening(self, data_dir: Path) -> None: ...

    def planned(self, scenario: Scenario) -> None: ...

    def state(self, state: DemoState) -> None: ...

    def outcome(self, outcome: DemoOutcome, data_dir: Path, json_file: Path | None) -> None: ...


def run_demo(options: Options, view: View) -> None:
    """Run the demonstration, and leave nothing running. Raises KeyboardInterrupt, or a GaiaError with cause and fix."""
    _refuse_unwritable(options.json_file)
    if options.model is not None:
        check_choice(ModelChoice(name=options.model))
    # A file that cannot be used is refused before anything is created.
    real = None if options.truth is None else real_scenario(options.truth, options.member, options.climatology)
    with _folder(options.data_dir) as data_dir:
        view.opening(data_dir)
        if real is None:
            view.state(DemoState(act="building the embedded world"))
        scenario = real or twin_scenario(data_dir)
        if options.model is not None:
            scenario = msgspec.structs.replace(scenario, cast=(*scenario.cast, guest(options.model)))
        view.planned(scenario)
        outcome = _perform(scenario, data_dir, options, view)
        if options.json_file is not None:
            options.json_file.write_bytes(as_json(outcome, scenario.init_time, scenario.spec))
        view.outcome(outcome, data_dir, options.json_file)


def _perform(scenario: Scenario, data_dir: Path, options: Options, view: View) -> DemoOutcome:
    plan = DemoPlan(
        scenario=scenario,
        data_dir=data_dir,
        workers=options.workers,
        commit_window_s=options.commit_window_s or commit_window_s(),
    )
    with _signals_restored(), _swept(data_dir), DemoProcesses(data_dir) as processes:
        return asyncio.run(DemoRun(plan, processes, SystemClock(), view.state).perform())


def commit_window_s() -> float:
    """The time for commitments. It is longer if more processes wait for each core.

    It is fixed before the run opens, because the deadline of a run never changes.
    """
    waiting_per_core = os.getloadavg()[0] / (os.cpu_count() or 1)
    return float(math.ceil(min(_LONGEST_WINDOW_S, _WINDOW_ON_AN_IDLE_MACHINE_S * (1.0 + waiting_per_core))))


@contextmanager
def _folder(wanted: Path | None) -> Iterator[Path]:
    """The folder of the demonstration. After Ctrl-C a temporary folder is deleted."""
    folder = prepare_folder(wanted)
    try:
        yield folder
    except KeyboardInterrupt:
        if wanted is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def prepare_folder(wanted: Path | None) -> Path:
    """The folder of the demonstration: a new one, or the given one, which must be empty.

    Others may enter a new one, because PostgreSQL drops root and must be able to pass through.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="gaia-demo-")) if wanted is None else wanted.absolute()
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigurationError(f"{folder} is not empty: give a new folder, or none for a temporary one")
        if wanted is None:
            folder.chmod(0o755)
        probe = folder / ".probe"
        probe.touch()
        probe.unlink()
        free_bytes = shutil.disk_usage(folder).free
    except OSError as error:
        where = error.filename or wanted
        raise ConfigurationError(
            f"{where}: {error.strerror}; give a folder that can be written, with --data-dir"
        ) from error
    if free_bytes < _LEAST_FREE_BYTES:
        raise ConfigurationError(
            f"{folder} has {free_bytes / 1e6:.0f} MB free, the demonstration needs {_LEAST_FREE_BYTES / 1e6:.0f}: "
            "free some space, or give another folder with --data-dir"
        )
    return folder


def _refuse_unwritable(json_file: Path | None) -> None:
    if json_file is None:
        return
    folder = json_file.absolute().parent
    if not folder.is_dir():
        raise ConfigurationError(f"--json {json_file}: there is no folder {folder}; make it, or name another file")
    if json_file.is_dir():
        raise ConfigurationError(f"--json {json_file}: that is a folder; name a file")
    if not os.access(json_file if json_file.exists() else folder, os.W_OK):
        raise ConfigurationError(f"--json {json_file}: it cannot be written there; name another file")


@contextmanager
def _signals_restored() -> Iterator[None]:
    """Make Ctrl-C work again at the end. `DemoProcesses` ignores it for a bounded time, while it ends its processes."""
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)


@contextmanager
def _swept(data_dir: Path) -> Iterator[None]:
    """Remove the sockets that a killed process may have left."""
    try:
        yield
    finally:
        told = Settings(data_dir=data_dir)
        for folder in (told.run_dir, told.engine_socket.parent, told.postgres_socket_dir):
            shutil.rmtree(folder, ignore_errors=True)
