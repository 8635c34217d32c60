"""A real supervisor with real children over a small engine, in a folder of its own: the fixture `stack`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from gaia.contracts.unit import ResultUnit, WorkUnit
from gaia.validator.app.processes.child import python_module
from gaia.validator.app.processes.restart_policy import RestartPolicy
from gaia.validator.app.supervision.supervisor import Programs
from gaia.validator.utils.settings import Settings
from tests.support.backbone_supervisor import Plan
from tests.support.pools import REGISTRY
from tests.support.waiting import is_running, lines_of, until

NOTHING = (sys.executable, "-c", "")
ELSEWHERE = "postgresql://nobody@localhost/nothing"


class Stack:
    """One supervisor in a folder of its own, its log in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("units", "results"):
            (folder / name).mkdir(exist_ok=True)
        self.settings = Settings(
            data_dir=folder / "data",
            database_url=ELSEWHERE,
            compute_workers=2,
            compute_spares=0,
            drain_grace_s=5.0,
            metrics_port=None,
        )
        self.restart = RestartPolicy(first_delay_s=0.02, longest_delay_s=0.1)
        self.engine: tuple[str, ...] = (
            *python_module("tests.support.backbone_engine", "--folder", str(folder)),
            *("--socket", str(self.settings.engine_socket)),
        )
        self.setup: tuple[str, ...] = NOTHING
        self.settings_program: tuple[str, ...] = NOTHING
        self.registry = REGISTRY
        self.log_path = folder / "supervisor.log"
        self.process: subprocess.Popen[bytes] | None = None

    def write_plan(self) -> Path:
        programs = Programs(
            settings=self.settings_program,
            engine=self.engine,
            setup=self.setup,
            registry=self.registry,
            restart=self.restart,
        )
        plan = Plan(settings=self.settings.to_json(), programs=programs)
        path = self.folder / "plan.json"
        path.write_bytes(msgspec.json.encode(plan))
        return path

    def argv(self) -> list[str]:
        """A supervisor's command line, for the settings and programs as they are now."""
        return python_module("tests.support.backbone_supervisor", str(self.write_plan()))

    def start(self) -> None:
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(self.argv(), stdin=subprocess.DEVNULL, stderr=log)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def exit_status(self, within_s: float = 30.0) -> int:
        assert self.process is not None
        return self.process.wait(within_s)

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = [line for line in lines_of(self.log_path) if line.startswith("{")]
        return [event for event in map(msgspec.json.decode, lines) if event["event"] == name]

    def wait_ready(self) -> None:
        """Engine and workers have all said that they are ready."""
        until(lambda: len(self.events("child_ready")) >= 1 + self.settings.compute_workers, "all children are ready")

    def pid_of(self, role: str, slot: int = 0) -> int:
        started = [event for event in self.events("child_started") if (event["role"], event["slot"]) == (role, slot)]
        return int(started[-1]["pid"])

    def do(self, name: str, handler: str, /, **payload: object) -> None:
        unit = WorkUnit(handler=handler, payload=payload, unit_id=name)
        draft = self.folder / f"{name}.draft"
        draft.write_bytes(msgspec.json.encode(unit))
        draft.rename(self.folder / "units" / f"{name}.json")

    def result(self, name: str) -> ResultUnit:
        path = self.folder / "results" / f"{name}.json"
        until(path.exists, f"result {name}")
        return msgspec.json.decode(path.read_bytes(), type=ResultUnit)

    def complaint(self) -> str:
        """The last line on stderr."""
        return lines_of(self.log_path)[-1]


def assert_all_gone(pids: list[int], within_s: float = 2.0) -> None:
    until(lambda: not any(is_running(pid) for pid in pids), f"none of {pids} lives", within_s)


@contextmanager
def ended(stack: Stack) -> Iterator[Stack]:
    """Whatever becomes of the test, no supervisor is left."""
    try:
        yield stack
    finally:
        if stack.process is not None and stack.process.poll() is None:
            stack.process.terminate()
            try:
                stack.process.wait(20)
            except subprocess.TimeoutExpired:
                stack.process.kill()
                stack.process.wait(10)
