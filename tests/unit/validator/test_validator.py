"""The entry: settings from another process, every trouble in one line."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gaia.contracts.errors import ConfigurationError
from gaia.protocol.keys import create_key_file
from gaia.tasks.defined_tasks.weather.files.archive import ARCHIVE_HEADER
from gaia.validator.app.processes.child import python_module
from gaia.validator.validator import ask_for_settings, main, run

pytestmark = pytest.mark.processes


def test_settings_come_from_the_environment_by_way_of_their_own_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # no .env here
    monkeypatch.setenv("GAIA_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("GAIA_COMPUTE_WORKERS", "3")
    create_key_file(tmp_path / "key.json")
    (tmp_path / ARCHIVE_HEADER).write_text("{}")
    monkeypatch.setenv("GAIA_HOTKEY_FILE", "key.json")
    monkeypatch.setenv("GAIA_TRUTH", f"archive:{tmp_path}")
    settings = ask_for_settings()
    assert (settings.data_dir, settings.compute_workers) == (tmp_path / "data", 3)


def test_a_wrong_setting_ends_in_one_line_with_status_2(tmp_path: Path) -> None:
    done = subprocess.run(
        python_module("gaia.validator.validator"), capture_output=True, text=True, check=False, timeout=60,
        cwd=tmp_path, env={**os.environ, "GAIA_COMPUTE_WORKERS": "none"},
    )  # fmt: skip
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("gaia: GAIA_COMPUTE_WORKERS")


def test_main_tells_what_is_wrong_with_the_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAIA_NO_SUCH_SETTING", "1")
    assert main([]) == 2
    assert "GAIA_NO_SUCH_SETTING" in capsys.readouterr().err


def test_an_interrupt_before_anything_has_started_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    assert run(interrupted) == 130  # type: ignore[arg-type]  # it never returns
    assert capsys.readouterr().err == ""


def test_a_configuration_error_names_each_thing_to_mend_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    def unusable() -> None:
        raise ConfigurationError("GAIA_X: mend it\nGAIA_Y: and it")

    assert run(unusable) == 2  # type: ignore[arg-type]  # it never returns
    assert capsys.readouterr().err == "gaia: GAIA_X: mend it\ngaia: GAIA_Y: and it\n"
