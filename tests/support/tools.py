"""Programs that a test needs and a machine may lack."""

from __future__ import annotations

import os
import shutil

import pytest


def needed_tool(name: str) -> str:
    """Its path. Where it is missing the test skips, saying so, and on CI, which must skip nothing, it fails."""
    found = shutil.which(name)
    if found is not None:
        return found
    if os.environ.get("CI") == "true":
        pytest.fail(f"{name} is not installed, and CI runs every test: install it there")
    pytest.skip(f"{name} is not installed")
