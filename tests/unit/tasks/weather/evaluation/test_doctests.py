"""The examples in the docstrings of the package are true."""

from __future__ import annotations

import doctest
import importlib

import pytest

_MODULES = ("axes", "request", "selection", "xarray_api")


@pytest.mark.parametrize("name", _MODULES)
def test_examples_hold(name: str) -> None:
    module = importlib.import_module(f"gaia.tasks.defined_tasks.weather.evaluation.{name}")
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0
