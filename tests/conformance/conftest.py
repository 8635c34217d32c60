"""The independent libraries, imported when a test asks for them: together that takes seconds."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def scores() -> ModuleType:
    """`scores` of the Australian Bureau of Meteorology, with the submodules that the tests use."""
    for part in ("continuous", "categorical", "probability", "functions"):
        importlib.import_module(f"scores.{part}")
    return importlib.import_module("scores")


@pytest.fixture(scope="session")
def xskillscore() -> ModuleType:
    """`xskillscore`, which the legacy validator scored with."""
    return importlib.import_module("xskillscore")
