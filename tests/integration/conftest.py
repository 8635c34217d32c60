"""Fixtures that several integration tests share because they take long to make."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.demo_process import REAL_INPUT, Demo, demo_of


@pytest.fixture(scope="session")
def real_demo() -> Iterator[Demo]:
    """An undisturbed demonstration on real input, ended; ask for it only where the real data are."""
    with demo_of(*REAL_INPUT) as demo:
        assert demo.wait() == 0, demo.output + demo.validator_log[-4000:]
        yield demo
