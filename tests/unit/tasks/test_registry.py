"""The table of compute handlers: every name in it leads to a function."""

from __future__ import annotations

import pytest

from gaia.tasks.defined_tasks.registry import HANDLERS
from gaia.validator.app.compute.handler_registry import DEFAULT_REGISTRY, HandlerRegistry


@pytest.mark.parametrize("name", sorted(HANDLERS))
def test_every_registered_handler_can_be_imported(name: str) -> None:
    assert callable(HandlerRegistry(DEFAULT_REGISTRY).handler(name))
