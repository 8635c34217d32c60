"""The processes of the demonstration: their environment, their last words, and that none is left."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gaia.demonstration.demo_processes import DemoProcesses, ProcessFell
from tests.support.demo_process import processes_in
from tests.support.waiting import until

ACTOR = "tests.support.demo_actor"


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    """DemoProcesses ignores signals at its end, and this process would go on ignoring them."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _tests_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))


def test_processes_have_ended_at_the_end_of_the_block(tmp_path: Path) -> None:
    with DemoProcesses(tmp_path) as processes:
        processes.start("calm", [ACTOR, "wait"], {})
        processes.start("deaf", [ACTOR, "wait"], {})
        until(lambda: len(processes_in(tmp_path)) == 2, "both run")
        processes.check()
    assert processes_in(tmp_path) == []


def test_process_that_ends_early_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with DemoProcesses(tmp_path) as processes:
        processes.start("validator", [ACTOR, "fail"], {})

        def fallen() -> str | None:
            try:
                processes.check()
            except ProcessFell as error:
                return str(error)
            return None

        said = until(fallen, "the fall is noticed")
    assert said == f"validator ended with status 3: the port is taken (see {tmp_path}/logs/validator.log)"


def test_operators_own_settings_do_not_reach_the_demonstration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAIA_TRUTH", "archive:/theirs")
    monkeypatch.setenv("DATABASE_URL", "postgresql://theirs/gaia")
    log = tmp_path / "logs" / "one.log"
    with DemoProcesses(tmp_path) as processes:
        processes.start("one", [ACTOR, "settings"], {"GAIA_NETUID": "57"})
        until(lambda: log.exists() and log.read_text().endswith("\n"), "it has said what it sees")
    assert log.read_text() == "GAIA_NETUID=57\n"


def test_process_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    """Were it not for --ppid, a SIGKILL of the demonstration would leave it."""
    with DemoProcesses(tmp_path) as processes:
        processes.start("one", [ACTOR, "wait"], {})
        pid = until(lambda: processes_in(tmp_path), "it runs")[0]
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        assert arguments[-3:-1] == [b"--ppid", str(os.getpid()).encode()]
