"""`gaia up` and what is asked of it from another terminal; and what it refuses, before anything is left running."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import asyncpg
import msgspec
import pytest

from tests.support.demo_process import (
    COMMAND_WITHIN_S,
    foreign_environment,
    gaia,
    processes_in,
    public_folder,
    run_gaia,
)
from tests.support.disks import tmpfs_of
from tests.support.small_world import SPEC, write_archive
from tests.support.waiting import until

pytestmark = [pytest.mark.processes, pytest.mark.database, pytest.mark.timeout(240)]

MISUSED = 2
RUN_ID = "sn57-weather-20200101T00Z"
START_WITHIN_S = 120.0


@pytest.fixture
def folder() -> Iterator[Path]:
    with public_folder("gaia-up-") as made:
        yield made


@pytest.fixture(scope="module")
def given() -> Iterator[Path]:
    """What no test changes: a folder with the truth's `archive` and a `key.json`."""
    with public_folder("gaia-up-given-") as made:
        write_archive(made / "archive")
        assert run_gaia("key", str(made / "key.json")).returncode == 0
        yield made


@pytest.fixture
def settings(given: Path, folder: Path) -> dict[str, str]:
    """Of a validator that could run."""
    shutil.copy(given / "key.json", folder)
    (folder / "run_spec.json").write_bytes(msgspec.json.encode(SPEC))
    return {
        "GAIA_DATA_DIR": str(folder / "data"),
        "GAIA_HOTKEY_FILE": str(folder / "key.json"),
        "GAIA_TRUTH": f"archive:{given / 'archive'}",
        "GAIA_RUN_SPEC_FILE": str(folder / "run_spec.json"),
        "GAIA_COMPUTE_WORKERS": "1",
        "GAIA_METRICS_PORT": "0",
        "GAIA_COMMIT_WINDOW_S": "1",
    }


def refusal(settings: Mapping[str, str], folder: Path) -> str:
    """The last line that `gaia up` says; log lines may stand before it."""
    done = run_gaia("up", settings=settings, cwd=folder)
    assert done.returncode == MISUSED, done.stderr
    assert "Traceback" not in done.stderr
    assert processes_in(folder) == []
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("gaia: ")
    return last


def test_unknown_setting(settings: dict[str, str], folder: Path) -> None:
    said = refusal({**settings, "GAIA_COMPUTE_WORKER": "3"}, folder)
    assert "GAIA_COMPUTE_WORKER: there is no such setting, did you mean GAIA_COMPUTE_WORKERS?" in said


@pytest.mark.parametrize("name", ["GAIA_TRUTH", "GAIA_HOTKEY_FILE"])
def test_missing_setting(settings: dict[str, str], folder: Path, name: str) -> None:
    del settings[name]
    assert f"{name} is not set: " in refusal(settings, folder)
    assert not (folder / "data").exists()


def test_key_file_that_does_not_exist(settings: dict[str, str], folder: Path) -> None:
    assert "there is no key file" in refusal({**settings, "GAIA_HOTKEY_FILE": "nothing.json"}, folder)
    assert not (folder / "data").exists()


def test_taken_metrics_port(settings: dict[str, str], folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as owner:
        port = owner.getsockname()[1]
        said = refusal({**settings, "GAIA_METRICS_PORT": str(port)}, folder)
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in said
    assert "choose another with GAIA_METRICS_PORT" in said


def test_read_only_data_folder(settings: dict[str, str], folder: Path) -> None:
    with tmpfs_of(folder / "disk", "size=1m,ro") as disk:
        said = refusal({**settings, "GAIA_DATA_DIR": str(disk)}, folder)
    assert "Read-only file system" in said
    assert "mount it writable, or choose another with GAIA_DATA_DIR" in said


def test_full_data_folder(settings: dict[str, str], folder: Path) -> None:
    with tmpfs_of(folder / "disk", "size=2m") as disk:
        said = refusal({**settings, "GAIA_DATA_DIR": str(disk)}, folder)
    assert "No space left on device" in said


def test_cluster_of_another_postgresql_is_refused_and_kept(
    settings: dict[str, str], folder: Path, pristine_cluster: Path
) -> None:
    cluster = folder / "data" / "postgres"
    shutil.copytree(pristine_cluster, cluster)
    (cluster / "PG_VERSION").write_text("12\n", encoding="ascii")
    before = sorted(path.relative_to(cluster) for path in cluster.rglob("*"))
    assert "was made by PostgreSQL 12, but the programs in" in refusal(settings, folder)
    assert sorted(path.relative_to(cluster) for path in cluster.rglob("*")) == before


async def test_schema_of_a_newer_gaia_is_refused_and_kept(
    settings: dict[str, str], folder: Path, database_dsn: str
) -> None:
    connection = await asyncpg.connect(database_dsn, timeout=COMMAND_WITHIN_S)
    try:
        await connection.execute("UPDATE alembic_version SET version_num = '9999'")
        said = refusal({**settings, "DATABASE_URL": database_dsn}, folder)
        assert "is at revision 9999, which this Gaia does not know" in said
        assert await connection.fetchval("SELECT version_num FROM alembic_version") == "9999"
    finally:
        await connection.close(timeout=COMMAND_WITHIN_S)


@pytest.fixture
def running(settings: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A validator that waits for runs to be opened."""
    log_path = folder / "up.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            gaia("up", "--test"),
            env=foreign_environment(**settings),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        until(lambda: "engine_started" in log_path.read_text(encoding="utf-8"), "the engine", START_WITHIN_S)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(COMMAND_WITHIN_S)
        until(lambda: not processes_in(folder), "all processes have ended")


def test_up_is_asked_from_another_terminal(
    running: subprocess.Popen[bytes], settings: dict[str, str], folder: Path
) -> None:
    def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_gaia(*arguments, settings=settings, cwd=folder)

    assert ask("runs").stdout.strip() == "none yet"
    assert "another validator" in refusal_beside(settings, folder)

    early = ask("runs", "--open", "2019-12-31T00")
    assert early.returncode == 1
    assert "make it with `gaia register`" in early.stderr

    assert "is uid 0 on subnet 57" in ask("register", "key.json", "--validator").stdout
    assert "HotKeyAlreadyRegisteredInSubNet" in ask("register", "key.json").stderr
    opened = ask("runs", "--open", "2020-01-01T00")
    assert opened.returncode == 0, opened.stderr

    def found() -> dict[str, object]:
        return dict(msgspec.json.decode(ask("runs", "--json").stdout)["runs"][0])

    until(lambda: found()["state"] == "void", "the run of no miner is void", 60.0)
    assert found()["void_reason"] == "the subnet had no miner to ask"
    assert RUN_ID in ask("runs").stdout
    assert ask("leaderboard", RUN_ID).stdout.strip() == "none yet"
    assert "there is no run 'sn57-weather-19990101T00Z'" in ask("leaderboard", "sn57-weather-19990101T00Z").stderr

    _kill_the_engine_while_env_is_broken(folder)
    assert found()["state"] == "void"

    running.send_signal(signal.SIGTERM)
    assert running.wait(COMMAND_WITHIN_S) == 0
    assert "is PostgreSQL running there?" in ask("runs").stderr


def _kill_the_engine_while_env_is_broken(folder: Path) -> None:
    """The next one goes by the last good settings, and works."""
    log_path = folder / "up.log"

    def events(name: str) -> list[dict[str, object]]:
        lines = [line for line in log_path.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
        return [event for event in map(msgspec.json.decode, lines) if event["event"] == name]

    (folder / ".env").write_text("GAIA_NETUID=fifty-seven\nGAIA_NO_SUCH=1\n", encoding="ascii")
    started = len(events("engine_started"))
    pids = [event["pid"] for event in events("child_started") if event["role"] == "io_engine"]
    os.kill(int(str(pids[-1])), signal.SIGKILL)
    until(lambda: len(events("engine_started")) > started, "the next engine works", START_WITHIN_S)
    (folder / ".env").unlink()


def refusal_beside(settings: Mapping[str, str], folder: Path) -> str:
    """What a second validator on the same folder says; the first goes on."""
    done = run_gaia("up", settings=settings, cwd=folder)
    assert done.returncode == MISUSED
    return done.stderr.strip().splitlines()[-1]
