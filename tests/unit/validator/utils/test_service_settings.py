"""What the supervisor is told of the service manager that started it, and of the engine's watchdog."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gaia.contracts.errors import ConfigurationError
from gaia.validator.utils.config import load_settings


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_service_manager_there_is_nobody_to_tell() -> None:
    told = load_settings(None).for_supervisor()
    assert (told.notify_socket, told.watchdog_s) == (None, None)


def test_its_address_and_its_watchdog_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "@/org/freedesktop/systemd1/notify/57")
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getppid()))  # the settings are read by a child of the supervisor
    told = load_settings(None).for_supervisor()
    assert (told.notify_socket, told.watchdog_s) == ("@/org/freedesktop/systemd1/notify/57", 30.0)


@pytest.mark.parametrize(("usec", "pid"), [("30000000", "1"), ("soon", ""), ("0", "")])
def test_a_watchdog_that_is_not_ours_is_left_alone(monkeypatch: pytest.MonkeyPatch, usec: str, pid: str) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", pid)
    assert load_settings(None).for_supervisor().watchdog_s is None


def test_spares_and_the_stall_limit_reach_the_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAIA_COMPUTE_SPARES", "2")
    monkeypatch.setenv("GAIA_ENGINE_STALL_LIMIT_S", "45")
    told = load_settings(None).for_supervisor()
    assert (told.spare_workers, told.stall_limit_s) == (2, 45.0)
    monkeypatch.setenv("GAIA_ENGINE_STALL_LIMIT_S", "1")
    with pytest.raises(ConfigurationError, match="GAIA_ENGINE_STALL_LIMIT_S"):
        load_settings(None)


def test_every_setting_reaches_the_supervisor_by_its_variable_without_passwords(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:secret@host/gaia")
    monkeypatch.setenv("GAIA_MINER_TIMEOUT_S", "7")
    given = load_settings(None).for_supervisor().given
    assert given["GAIA_MINER_TIMEOUT_S"] == "7.0"
    assert given["DATABASE_URL"] == "postgresql://me:***@host/gaia"


def test_a_child_that_is_given_all_settings_has_the_same_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "archive.json").write_text("{}", encoding="ascii")
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:secret@host/gaia")
    for name, value in {
        "GAIA_DATA_DIR": str(tmp_path),
        "GAIA_TRUTH": f"archive:{tmp_path / 'archive'}",
        "GAIA_METRICS_PORT": "off",
        "GAIA_ALLOW_PRIVATE_ENDPOINTS": "true",
        "GAIA_JOB_LEASE_S": "2.5",
    }.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(None)
    for_children = settings.for_supervisor().for_children()
    assert "DATABASE_URL" not in for_children  # it has a password, and comes by itself
    for name, value in for_children.items():
        monkeypatch.setenv(name, value)
    assert load_settings(None) == settings


def test_the_files_of_the_engine_follow_from_what_it_does_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAIA_JOB_CONCURRENCY", "32")
    monkeypatch.setenv("GAIA_MINER_CONCURRENCY", "64")
    # 32 threads, 27 connections to the database, and for each miner a connection and a file
    assert load_settings(None).for_supervisor().engine_files == 32 + 27 + 2 * 64
    monkeypatch.setenv("GAIA_JOB_CONCURRENCY", "1000")  # the embedded server has 50 connections
    assert load_settings(None).database_connections == 43
