"""The house around a performance: folder and time."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from gaia.contracts.errors import ConfigurationError
from gaia.demonstration.demo import commit_window_s, prepare_folder


def test_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    assert prepare_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_relative_folder_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its processes have working folders of their own."""
    monkeypatch.chdir(tmp_path)
    assert prepare_folder(Path("here")) == tmp_path / "here"


def test_temporary_folder_lets_the_servers_account_pass_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert prepare_folder(None).stat().st_mode & 0o777 == 0o755


def test_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "diary").touch()
    with pytest.raises(ConfigurationError, match="is not empty"):
        prepare_folder(tmp_path)


@pytest.mark.parametrize(
    ("load", "cores", "window_s"),
    # 15 s x (1 + load / cores), whole seconds, at most two minutes
    [(0.0, 2, 15.0), (1.0, 2, 23.0), (5.0, 2, 53.0), (5.0, 8, 25.0), (40.0, 2, 120.0)],
)
def test_miners_have_the_longer_the_busier_the_machine_is(
    load: float, cores: int, window_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert commit_window_s() == window_s
