"""The settings: what is read from where, what is refused and with which words, what is hidden."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from gaia.contracts.errors import ConfigurationError
from gaia.protocol.keys import create_key_file
from gaia.tasks.defined_tasks.definition import BadTask, TaskDefinition
from gaia.tasks.defined_tasks.registry import defined_tasks
from gaia.tasks.defined_tasks.weather.files.archive import ARCHIVE_HEADER
from gaia.validator.utils.config import fields_by_variable, load_settings, refuse_incomplete
from gaia.validator.utils.settings import Settings

SECRET = "hunter2-and-more"
EVERYWHERE = "0.0.0.0"  # noqa: S104  it is refused


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """None of the machine's own settings, and a folder without a .env."""
    for name in list(os.environ):
        if name.upper().startswith("GAIA_") or name == "DATABASE_URL":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / ARCHIVE_HEADER).write_text("{}")
    return folder


def settings_of(monkeypatch: pytest.MonkeyPatch, values: Mapping[str, str]) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return load_settings(None)


def refusal_of(monkeypatch: pytest.MonkeyPatch, values: Mapping[str, str]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        settings_of(monkeypatch, values)
    return str(caught.value)


def test_without_any_setting_there_are_safe_defaults() -> None:
    settings = load_settings(None)
    assert (settings.netuid, settings.chain, settings.metrics_host) == (57, "simulated", "127.0.0.1")
    assert not settings.allow_private_endpoints
    assert settings.hotkey_file is None
    assert settings.compute_workers == max(1, os.cpu_count() or 1)


@pytest.mark.parametrize("is_root", [True, False])
def test_data_lie_where_the_database_s_account_can_reach_them(monkeypatch: pytest.MonkeyPatch, is_root: bool) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0 if is_root else 1000)
    monkeypatch.setenv("HOME", "/home/operator")
    expected = Path("/var/lib/gaia") if is_root else Path("/home/operator/.local/share/gaia")
    assert load_settings(None).data_dir == expected


def test_the_environment_wins_over_the_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("GAIA_NETUID=3\nGAIA_LOG_LEVEL=debug\nDATABASE_URL=postgresql://me:long-secret@db/gaia\n")
    monkeypatch.setenv("GAIA_NETUID", "4")
    settings = load_settings()
    assert (settings.netuid, settings.log_level) == (4, "debug")
    assert settings.database_dsn == "postgresql://me:long-secret@db/gaia"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"GAIA_NETUIT": "5"}, "GAIA_NETUIT: there is no such setting, did you mean GAIA_NETUID?"),
        ({"GAIA_XYZZYXYZZY": "5"}, "GAIA_XYZZYXYZZY: there is no such setting; `gaia config` lists them all"),
        ({"GAIA_NETUID": "many"}, "GAIA_NETUID: Input should be a valid integer"),
        ({"GAIA_NETUID": "65536"}, "GAIA_NETUID: Input should be less than or equal to 65535"),
        ({"GAIA_COMPUTE_WORKERS": "0"}, "GAIA_COMPUTE_WORKERS: Input should be greater than or equal to 1"),
        ({"GAIA_CHAIN": "finney"}, "GAIA_CHAIN: Input should be 'simulated'"),
        ({"GAIA_METRICS_HOST": EVERYWHERE}, "GAIA_METRICS_HOST: everybody could read the metrics"),
        ({"GAIA_METRICS_HOST": "::"}, "GAIA_METRICS_HOST: everybody could read the metrics"),
        ({"GAIA_METRICS_HOST": "8.8.8.8"}, "GAIA_METRICS_HOST: everybody could read the metrics"),
        ({"GAIA_METRICS_HOST": "localhost"}, "GAIA_METRICS_HOST: 'localhost' is not an IP address; use 127.0.0.1"),
        ({"GAIA_ENGINE_STALL_LIMIT_S": "1"}, "GAIA_ENGINE_STALL_LIMIT_S: Input should be greater than or equal to 6"),
        ({"GAIA_MINER_TIMEOUT_S": "0"}, "GAIA_MINER_TIMEOUT_S: Input should be greater than 0"),
        ({"GAIA_METRICS_PORT": "70000"}, "GAIA_METRICS_PORT: Input should be less than or equal to 65535"),
        (
            {"GAIA_WORKER_SOFT_MEMORY_MIB": "4096"},
            "GAIA_WORKER_SOFT_MEMORY_MIB: must be below GAIA_WORKER_HARD_MEMORY_MIB",
        ),
        ({"DATABASE_URL": "mysql://a:b@c/d"}, "DATABASE_URL: expected postgresql://user:password@host/database"),
        ({"DATABASE_URL": "postgresql://a:b@c"}, "DATABASE_URL: expected postgresql://user:password@host/database"),
        ({"DATABASE_URL": "postgresql://a:postgres@c/d"}, "DATABASE_URL: its password is too easy to guess"),
        ({"DATABASE_URL": f"postgresql://a@c/d?password={SECRET}"}, "DATABASE_URL: its password is after the ?"),
        ({"GAIA_TRUTH": "archive:/nowhere/at/all"}, "GAIA_TRUTH: /nowhere/at/all does not exist"),
        ({"GAIA_REFERENCE": "hdf:/dev/null"}, "GAIA_REFERENCE: 'hdf:/dev/null': unknown source format 'hdf'"),
        ({"DATABASE_URL": f"postgresql://u:{SECRET}/x@127.0.0.1/db"}, "DATABASE_URL: cannot be read; write special"),
        ({"DATABASE_URL": f"postgresql://u:{SECRET}?x@127.0.0.1/db"}, "DATABASE_URL: cannot be read; write"),
        ({"DATABASE_URL": f"postgresql://u:\u2100{SECRET}@127.0.0.1/db"}, "DATABASE_URL: cannot be read; write"),
        ({"GAIA_DATA_DIR": ""}, "GAIA_DATA_DIR: is empty; name a folder"),
        ({"GAIA_DATA_DIR": "/tmp/\udcff"}, "GAIA_DATA_DIR: its name is not UTF-8"),
        ({"GAIA_WORLD_OFFSET_S": "inf"}, "GAIA_WORLD_OFFSET_S: Input should be a finite number"),
        ({"GAIA_WORLD_OFFSET_S": "1e300"}, "GAIA_WORLD_OFFSET_S: Input should be less than or equal to"),
        ({"GAIA_TASKS": "wether"}, "there is no task 'wether': choose of weather"),
        ({"GAIA_TASK_WEIGHTS": "weather=0.9"}, "GAIA_TASK_WEIGHTS: the shares sum to 0.9, not to 1"),
        ({"GAIA_TASK_WEIGHTS": "wether=1"}, "GAIA_TASK_WEIGHTS: say of each task of GAIA_TASKS, and of no other"),
        ({"GAIA_TASK_WEIGHTS": "weather"}, "GAIA_TASK_WEIGHTS: 'weather' is no task=share"),
        ({"GAIA_CLIMATOLOGY": ""}, "GAIA_CLIMATOLOGY: a source needs a path"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, values: Mapping[str, str], said: str
) -> None:
    refusal = refusal_of(monkeypatch, values)
    assert refusal.startswith(said)
    assert len(refusal.splitlines()) == 1
    assert SECRET not in refusal


def test_a_task_cannot_have_a_setting_that_another_has() -> None:
    (weather,) = defined_tasks(["weather"])
    other = TaskDefinition(
        name="other", number=2, build="m:f", handlers={}, settings=type(weather.section({})), prefix=""
    )
    with pytest.raises(BadTask, match="GAIA_CLIMATOLOGY: the task other cannot have a setting that there is already"):
        fields_by_variable([weather, other])


def test_everything_that_is_wrong_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = refusal_of(
        monkeypatch, {"GAIA_NETUID": "x", "GAIA_TRUTH": "/nowhere", "GAIA_LOG_FORMAT": "xml"}
    ).splitlines()
    assert sorted(line.split(":")[0] for line in lines) == ["GAIA_LOG_FORMAT", "GAIA_NETUID", "GAIA_TRUTH"]


def test_an_unknown_name_in_the_env_file_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("gaia_netuit=5\n")
    with pytest.raises(ConfigurationError, match="GAIA_NETUIT: there is no such setting, did you mean GAIA_NETUID"):
        load_settings()


def test_an_env_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"GAIA_NETUID=\xff\xfe\n")
    with pytest.raises(ConfigurationError, match=r"\.env cannot be read"):
        load_settings()


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "192.168.0.7", "::1"])
def test_metrics_may_be_served_on_private_addresses(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    assert settings_of(monkeypatch, {"GAIA_METRICS_HOST": host}).metrics_host == host


def test_metrics_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of(monkeypatch, {"GAIA_METRICS_PORT": "off"}).metrics_port is None


def test_sources_are_understood(monkeypatch: pytest.MonkeyPatch, archive: Path) -> None:
    settings = settings_of(monkeypatch, {"GAIA_TRUTH": f"archive:{archive}"})
    assert settings.task_settings["GAIA_TRUTH"] == f"archive:{archive}"


def test_a_password_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(monkeypatch, {"DATABASE_URL": f"postgresql://me:{SECRET}@db.example:5433/gaia"})
    shown = settings.shown()
    assert shown["DATABASE_URL"] == "postgresql://me:***@db.example:5433/gaia"
    assert SECRET not in json.dumps(shown)
    assert SECRET not in repr(settings)
    assert settings.database_dsn == f"postgresql://me:{SECRET}@db.example:5433/gaia"


def test_every_setting_is_shown_by_its_variable(monkeypatch: pytest.MonkeyPatch, archive: Path) -> None:
    given = {"GAIA_TRUTH": f"archive:{archive}", "GAIA_METRICS_PORT": "off", "GAIA_DATA_DIR": "data"}
    shown = settings_of(monkeypatch, given).shown()
    assert (shown["DATABASE_URL"], shown["GAIA_TRUTH"]) == (None, f"archive:{archive}")
    assert (shown["GAIA_METRICS_PORT"], shown["GAIA_DATA_DIR"]) == ("off", str(Path.cwd() / "data"))
    assert shown["GAIA_NETUID"] == 57
    assert json.loads(json.dumps(shown)) == shown


def test_what_a_validator_cannot_run_without_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, archive: Path
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        refuse_incomplete(load_settings(None))
    assert [line.split(" is not set: ")[0] for line in str(caught.value).splitlines()] == [
        "GAIA_HOTKEY_FILE",
        "GAIA_TRUTH",
    ]
    create_key_file(tmp_path / "key.json")
    refuse_incomplete(
        settings_of(monkeypatch, {"GAIA_HOTKEY_FILE": str(tmp_path / "key.json"), "GAIA_TRUTH": f"archive:{archive}"})
    )


def run_config(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gaia.validator.utils.config"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def complete(tmp_path: Path, archive: Path) -> dict[str, str]:
    create_key_file(tmp_path / "key.json")
    return {"GAIA_HOTKEY_FILE": str(tmp_path / "key.json"), "GAIA_TRUTH": f"archive:{archive}"}


def test_the_module_prints_the_settings(tmp_path: Path, archive: Path) -> None:
    given = {"GAIA_DATA_DIR": str(tmp_path / "data"), "GAIA_COMPUTE_WORKERS": "3", "GAIA_METRICS_PORT": "off"}
    done = run_config(**complete(tmp_path, archive), **given)
    assert (done.returncode, done.stderr) == (0, "")
    told = Settings.from_json(done.stdout.encode())
    assert (told.data_dir, told.compute_workers, told.metrics_port) == (tmp_path / "data", 3, None)
    assert told.task_settings["GAIA_TRUTH"] == f"archive:{archive}"


def test_the_module_says_in_one_line_what_is_wrong() -> None:
    done = run_config(GAIA_NETUIT="5")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "GAIA_NETUIT: there is no such setting, did you mean GAIA_NETUID?; `gaia config` lists them all\n"
    )


@pytest.mark.parametrize("name", ["GAIA_HOTKEY_FILE", "GAIA_RUN_SPEC_FILE"])
def test_the_module_refuses_what_the_engine_would_so_that_sighup_replaces_none_by_it(
    name: str, tmp_path: Path, archive: Path
) -> None:
    done = run_config(**{**complete(tmp_path, archive), name: str(tmp_path / "nothing.json")})
    assert (done.returncode, done.stdout) == (2, "")
    assert str(tmp_path / "nothing.json") in done.stderr
