"""The fault tests run on uvloop, as the IO-Engine does."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], AbstractEventLoop]]:
    """The loop of every async test in this folder."""
    return {"uvloop": uvloop.new_event_loop}
