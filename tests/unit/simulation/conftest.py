"""One nature run for all tests of this folder."""

from __future__ import annotations

import pytest

from gaia.simulation.nature import NatureRun, run_nature

WORLD_HOURS = tuple(range(0, 241, 12))


@pytest.fixture(scope="package")
def world() -> NatureRun:
    """Ten days, every 12 h, of seed 1."""
    return run_nature(1, WORLD_HOURS)
