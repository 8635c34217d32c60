"""Every example in a docstring of the package is true."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import gaia

_SRC = Path(gaia.__file__).parent.parent
_MODULES = [
    ".".join(path.relative_to(_SRC).with_suffix("").parts)
    for path in sorted((_SRC / "gaia").rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", _MODULES)
def test_examples_hold(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0
