"""The fault tests run on uvloop, as the IO-Engine does, and give evidence for the table of `make faults`.

`--full` runs them at the counts of the table; `--fault-page FILE` writes the table into a page.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

import pytest
import uvloop

from tests.support.fault_report import FaultRow, Ledger, Witness, put_between_marks, table

_witness = pytest.StashKey[Witness]()
_rows = pytest.StashKey[dict[str, FaultRow]]()


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], AbstractEventLoop]]:
    """The loop of every async test in this folder."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def _children_are_not_measured(unmeasured_children: None) -> None:
    """Fault tests start and kill hundreds of processes; what these run is measured in the integration tests.

    One that is killed while it writes what coverage measured leaves a broken file.
    """


@pytest.fixture
def witness(request: pytest.FixtureRequest) -> Witness:
    """Where a fault test says what it saw."""
    node = request.node
    assert isinstance(node, pytest.Item)
    assert node.get_closest_marker("fault") is not None, "who calls a witness is marked with its fault"
    return node.stash.setdefault(_witness, Witness())


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Counts the runs and applications of units by files that they leave."""
    return Ledger(tmp_path / "ledger")


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    """Whether to run at the counts of the table."""
    return bool(request.config.getoption("--full"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn each fault's test into a row; the row says "survived" only if the test ran to its end and gave evidence."""
    report = yield
    marker = item.get_closest_marker("fault")
    if marker is not None and (report.when == "call" or not report.passed):
        witness = item.stash.get(_witness, Witness())
        complete = report.when == "call" and report.passed and bool(witness.did)
        if report.when == "call" and report.passed and not complete:
            report.outcome = "failed"
            report.longrepr = "a fault test passed without saying what it saw"
        subject, fault = marker.args
        item.config.stash[_rows][item.nodeid] = FaultRow(
            subject=subject,
            fault=fault,
            must=marker.kwargs["must"],
            outcome="survived" if complete else f"**{report.outcome}**",
            did=witness.did,
            lost=witness.lost,
            twice=witness.twice,
            recovered_s=witness.recovered_s,
        )
    return report


def pytest_configure(config: pytest.Config) -> None:
    """Somewhere to collect."""
    config.stash[_rows] = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table when it was asked for."""
    rows = config.stash[_rows].values()
    page: str | None = config.getoption("--fault-page")
    if rows and (page or config.getoption("--full")):
        terminalreporter.section("faults")
        terminalreporter.write(table(rows))
    if page:
        survived = sum(row.outcome == "survived" for row in rows)
        counts = "the full counts" if config.getoption("--full") else "the short counts, without `--full`"
        put_between_marks(Path(page), f"{survived} of {len(rows)} survived, at {counts}.\n\n{table(rows)}")
