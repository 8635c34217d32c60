"""One small test file starts pytest and little else: nobody waits for libraries that only other tests use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
HEAVY = {"aiohttp", "asyncpg", "numba", "numpy", "xarray", "zarr", "gaia.validator.app.supervisor"}


@pytest.mark.processes
def test_a_small_test_file_is_collected_without_heavy_libraries() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "pytest", "--capture=no", "--collect-only"]
    finished = subprocess.run(
        [*command, "-p", "no:cacheprovider", "tests/unit/contracts/test_ids.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    imported = {line.rpartition("|")[2].strip() for line in finished.stderr.splitlines()}
    assert "gaia.contracts.ids" in imported
    assert not HEAVY & imported
