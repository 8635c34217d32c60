"""`gaia config` and the help texts, as they are printed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gaia.cli.main import app
from gaia.tasks.defined_tasks.registry import defined_tasks
from gaia.validator.utils.config import fields_by_variable

SECRET = "xq7vT2"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without .env, an environment without settings, a terminal of 80 columns."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("GAIA_") or name == "DATABASE_URL":
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")


def test_every_setting_is_listed_within_80_columns() -> None:
    done = CliRunner().invoke(app, ["config"])
    assert done.exit_code == 0
    for variable in fields_by_variable(defined_tasks(["weather"])):
        assert variable in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert "…" not in done.stdout


@pytest.mark.parametrize("arguments", [["config"], ["config", "--json"]])
def test_password_is_hidden(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://gaia:{SECRET}@db/gaia")
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0
    assert SECRET not in done.output
    assert "***" in done.output


def test_settings_as_json_carry_their_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAIA_NETUID", "58")
    shown = json.loads(CliRunner().invoke(app, ["config", "--json"]).stdout)
    assert shown["GAIA_NETUID"] == 58
    assert shown["GAIA_TRUTH"] is None


def test_misspelt_setting_is_refused_with_the_right_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAIA_TRUHT", "archive:/data")
    done = CliRunner().invoke(app, ["config"])
    assert done.exit_code == 2
    assert done.stderr.startswith("gaia: GAIA_TRUHT: there is no such setting, did you mean GAIA_TRUTH?")


def test_setting_that_resembles_none_is_refused_without_a_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    """The prefix that all share makes nothing alike."""
    monkeypatch.setenv("GAIA_QQQ", "1")
    done = CliRunner().invoke(app, ["config"])
    assert "GAIA_QQQ: there is no such setting; `gaia config`" in done.stderr


@pytest.mark.parametrize("command", ["up", "demo", "runs", "leaderboard", "miner", "key", "register", "config"])
def test_every_command_explains_itself(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert command in CliRunner().invoke(app, ["--help"]).stdout
