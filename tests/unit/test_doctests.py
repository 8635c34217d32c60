"""The examples in docstrings are true; tests/docs runs those of the pages."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_SOURCES = _ROOT / "src"
_WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(_SOURCES).with_suffix("").parts)
    for path in _SOURCES.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


def test_there_are_modules_with_examples() -> None:
    assert "gaia.tasks.defined_tasks.weather.evaluation.xarray_api" in _WITH_EXAMPLES


@pytest.mark.parametrize("name", _WITH_EXAMPLES)
def test_examples_of_a_module_hold(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0
