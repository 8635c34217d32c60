"""The examples in the docstrings of the package are true."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

_MODULES = ("axes", "request", "selection", "xarray_api")


@pytest.mark.parametrize("name", _MODULES)
def test_examples_hold(name: str) -> None:
    module = importlib.import_module(f"gaia.tasks.defined_tasks.weather.evaluation.{name}")
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


def test_the_example_in_the_documentation_holds() -> None:
    document = Path(__file__).parents[5] / "docs" / "reference" / "scoring.md"
    found = doctest.testfile(str(document), module_relative=False)
    assert found.attempted > 0
    assert found.failed == 0
