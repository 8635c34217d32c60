"""When a child is told to keep compiled modules elsewhere, and that it then does."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gaia.validator.app.machine.bytecode import bytecode_environment
from tests.support.disks import tmpfs_of


@pytest.fixture(autouse=True)
def _no_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "pycache_prefix", None)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "code" / "some_module.py"
    path.parent.mkdir()
    path.write_text("answer = 42\n", encoding="ascii")
    return path


def test_where_modules_can_be_compiled_beside_their_sources_nothing_is_said(module: Path, tmp_path: Path) -> None:
    assert bytecode_environment(tmp_path, str(module), writes=True) == {}


def test_what_is_compiled_already_is_used(module: Path, tmp_path: Path) -> None:
    compiled = Path(importlib.util.cache_from_source(str(module)))
    compiled.parent.mkdir()
    compiled.touch()
    assert bytecode_environment(tmp_path, str(module), writes=False) == {}


def test_a_read_only_installation_is_seen_even_by_root(tmp_path: Path) -> None:
    with tmpfs_of(tmp_path / "disk", "size=1m,ro") as disk:
        found = bytecode_environment(tmp_path, str(disk / "some_module.py"), writes=True)
    assert found["PYTHONPYCACHEPREFIX"] == str(tmp_path / "python")


def test_a_child_that_may_not_write_beside_its_sources_keeps_them_in_the_cache(module: Path, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "1",
        **bytecode_environment(tmp_path / "cache", str(module), writes=False),
    }
    command = [sys.executable, "-c", "import some_module; print(some_module.answer, some_module.__cached__)"]
    done = subprocess.run(
        command, cwd=module.parent, env=environment, capture_output=True, text=True, check=True, timeout=30
    )
    answer, compiled = done.stdout.split()
    assert answer == "42"
    assert Path(compiled).is_relative_to(tmp_path / "cache" / "python")
    assert Path(compiled).exists()
    assert not (module.parent / "__pycache__").exists()
