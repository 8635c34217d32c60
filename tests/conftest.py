"""Fixtures that every test may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.support.backbone_stack import Stack

# The same examples every time, so that a change is not blamed for what chance has found; and no limit of time, for the
# first example may compile a kernel. To look further: --hypothesis-profile=explore.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("same")

# Every start of pytest imports these and this file. What takes long to import, they import inside the fixtures.
pytest_plugins = ["tests.support.database"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the fault tests; pytest asks only this folder's conftest for any."""
    group = parser.getgroup("faults")
    group.addoption("--full", action="store_true", help="run the fault tests at the counts of `make faults`")
    group.addoption("--fault-page", metavar="FILE", help="write the table of faults into this page")


@pytest.fixture
def unmeasured_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that the test starts are not measured. For many processes, of code that other tests measure.

    Coverage takes 0.2 s of a processor to begin, slows what it measures, and doubles the time of such tests.
    """
    from tests.support.demo_process import COVERAGE_SETTING

    monkeypatch.delenv(COVERAGE_SETTING, raising=False)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A supervisor in a folder of its own, not yet started; none is left after the test."""
    from tests.support.backbone_stack import Stack, ended

    with ended(Stack(tmp_path)) as stack:
        yield stack
