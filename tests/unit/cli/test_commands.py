"""The list of commands: light to import, whole, and plain about what a command lacks."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gaia.cli.main import app
from tests.support.weather_files import forecast, truth, write

HEAVY = {
    *("aiohttp", "alembic", "asyncpg", "bittensor_core", "eccodes", "llvmlite", "matplotlib", "msgspec", "netCDF4"),
    *("numba", "numcodecs", "numpy", "pandas", "prometheus_client", "pydantic", "pydantic_settings", "sqlalchemy"),
    *("structlog", "uvloop", "xarray", "zarr"),
}
SAY_IMPORTED = "import json, sys; print(json.dumps(sorted(name.partition('.')[0] for name in sys.modules)))"
WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({packages!r}))
from gaia.cli.main import app
app({words!r})
"""
"""What stands as None among the modules cannot be imported: as if it were not installed."""


def _run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)


def _packages_of_the_validator() -> list[str]:
    """The modules that only `gaia-validator[validator]` installs."""
    asked = importlib.metadata.requires("gaia-validator") or []
    distributions = {re.split(r"[^\w-]", one)[0] for one in asked if "extra == 'validator'" in one}
    owners = importlib.metadata.packages_distributions().items()
    return [package for package, of in owners if distributions & {name.lower().replace("_", "-") for name in of}]


def _without(packages: list[str], *words: str | Path) -> subprocess.CompletedProcess[str]:
    return _run(WITHOUT.format(packages=packages, words=[str(word) for word in words]))


@pytest.mark.parametrize(
    "start", ["import gaia", "from gaia.cli.main import app; app(['--help'], standalone_mode=False)"]
)
def test_starting_imports_no_heavy_library(start: str) -> None:
    ended = _run(f"{start}\n{SAY_IMPORTED}")
    imported = set(json.loads(ended.stdout.splitlines()[-1]))
    assert "gaia" in imported
    assert not imported & HEAVY, ended.stderr


def test_the_help_lists_every_command_with_the_first_line_of_its_own_help() -> None:
    listed = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout
    names = re.findall(r"^│ ([a-z]+) ", listed, re.MULTILINE)
    assert names == ["up", "demo", "runs", "leaderboard", "explain", "score", "miner", "key", "register", "config"]
    for name in names:
        own = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"})
        assert own.exit_code == 0
        (line,) = re.findall(rf"^│ {name} +(.*?) *│$", listed, re.MULTILINE)
        assert line in own.stdout


def test_a_mistyped_command_is_told_the_nearest_one() -> None:
    assert "Did you mean 'demo'?" in CliRunner().invoke(app, ["dmo"]).stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["demo"],
        ["up"],
        ["config"],
        ["runs"],
        ["leaderboard", "sn57-weather-20200115T12Z"],
        ["explain", "sn57-weather-20200115T12Z", "1"],
        ["key", "hotkey.json"],
        ["register", "hotkey.json"],
        ["miner", "--key", "k", "--chain-url", "postgresql:///x", "--analysis", "archive:/x", "--data-dir", "x"],
    ],
    ids=lambda words: words[0],
)
def test_a_command_whose_packages_are_not_installed_says_in_a_line_how_to_get_them(words: list[str]) -> None:
    ended = _without(_packages_of_the_validator(), *words)
    expected = rf"gaia: gaia {words[0]} needs \w+, which is not installed: pip install 'gaia-validator\[validator\]'\n"
    assert re.fullmatch(expected, ended.stderr), ended.stderr
    assert (ended.returncode, ended.stdout) == (2, "")


def test_a_module_of_ours_that_is_not_there_is_a_defect_with_its_traceback() -> None:
    ended = _without(["gaia.cli.key"], "key", "hotkey.json")
    assert "Traceback" in ended.stderr
    assert "pip install" not in ended.stderr


@pytest.mark.slow
def test_scoring_needs_none_of_the_validators_packages(tmp_path: Path) -> None:
    fc, an = write(forecast(), tmp_path / "fc.nc"), write(truth(), tmp_path / "an.nc")
    ended = _without(_packages_of_the_validator(), "score", fc, an, "--json", "-")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["scores"][0]["bias"] == pytest.approx(1.0, abs=1e-4)


def test_a_scorecard_without_matplotlib_names_the_fix_before_anything_is_scored(tmp_path: Path) -> None:
    fc, an = write(forecast(), tmp_path / "fc.nc"), write(truth(), tmp_path / "an.nc")
    ended = _without(["matplotlib"], "score", fc, an, "--reference", fc, "--png", tmp_path / "card.png")
    told = "gaia: A scorecard needs matplotlib: pip install matplotlib, or write --csv or --json instead\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", told)


def test_a_task_s_own_commands_stand_under_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No such command 'stations'" in CliRunner().invoke(app, ["stations", "count"]).output
    monkeypatch.setenv("GAIA_TASKS", "weather,tests.support.stations.definition:TASK")
    done = CliRunner().invoke(app, ["stations", "count"])
    assert (done.exit_code, done.output) == (0, "50\n")
    assert "count" in CliRunner().invoke(app, ["stations", "--help"]).output


def test_a_command_that_nobody_has_is_no_task_either(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No such command 'weathre'" in CliRunner().invoke(app, ["weathre"]).output
    monkeypatch.setenv("GAIA_TASKS", "wether")
    done = CliRunner().invoke(app, ["weathre"])
    assert (done.exit_code, done.stderr.splitlines()) == (
        2,
        ["gaia: there is no task 'wether': choose of weather, or name your own package.module:TASK"],
    )


def test_without_the_validator_s_packages_an_unknown_command_is_just_that() -> None:
    ended = _without(_packages_of_the_validator(), "weathre")
    assert (ended.returncode, "No such command 'weathre'" in ended.stderr) == (2, True)
