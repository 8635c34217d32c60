"""The payload structs live in the IO-Engine, which must stay small."""

from __future__ import annotations

import subprocess
import sys

MODULE = "gaia.tasks.defined_tasks.weather.validator.handlers.verify_payloads"
HEAVY = {"numpy", "blake3", "numcodecs", "matplotlib"}


def test_importing_the_payloads_loads_no_numerics() -> None:
    check = f"import sys, {MODULE}; print(sorted({HEAVY} & set(sys.modules)))"
    child = subprocess.run([sys.executable, "-c", check], timeout=60, check=True, capture_output=True, text=True)
    assert child.stdout.strip() == "[]"
