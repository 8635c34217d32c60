"""Fixtures that every test may ask for."""

from __future__ import annotations

import pytest

pytest_plugins = ["tests.support.database", "tests.support.backbone_stack"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the fault tests; pytest asks only this folder's conftest for any."""
    group = parser.getgroup("faults")
    group.addoption("--full", action="store_true", help="run the fault tests at the counts of `make faults`")
    group.addoption("--fault-page", metavar="FILE", help="write the table of faults into this page")
