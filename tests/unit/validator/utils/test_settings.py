"""The settings as data: how they travel, where things lie, what follows from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gaia.validator.utils.settings import Settings, SettingsOfAnotherVersion, own_fields


def test_what_is_handed_to_another_process_is_what_it_has() -> None:
    settings = Settings(
        data_dir=Path("/srv/gaia"),
        database_url="postgresql://me:secret@host/gaia",
        hotkey_file=Path("key.json"),
        metrics_port=None,
        job_lease_s=2.5,
        tasks=("weather", "my.package:TASK"),
        task_weights={"weather": 0.9, "mine": 0.1},
        task_settings={"GAIA_TRUTH": "archive:/data", "GAIA_COMMIT_WINDOW_S": 60.0, "GAIA_REFERENCE": None},
    )
    assert Settings.from_json(settings.to_json()) == settings


@pytest.mark.parametrize(
    ("text", "said"), [(b'{"data_dir": "/srv", "worker": 2}', "unknown field `worker`"), (b"{", "truncated")]
)
def test_what_this_version_does_not_know_is_refused_with_what_to_do(text: bytes, said: str) -> None:
    with pytest.raises(SettingsOfAnotherVersion, match=rf"{said}.*restart the validator"):
        Settings.from_json(text)


def test_each_setting_has_a_variable_of_its_own_and_that_one_s_value() -> None:
    settings = Settings(drain_grace_s=9.0, task_settings={"GAIA_TRUTH": "archive:/data"})
    values = settings.by_variable()
    assert list(values) == [*own_fields(), "GAIA_TRUTH"]
    assert (values["GAIA_DRAIN_GRACE_S"], values["GAIA_TRUTH"]) == (9.0, "archive:/data")


def test_sockets_lie_in_the_data_folder_when_its_path_is_short() -> None:
    settings = Settings(data_dir=Path("/srv/gaia"))
    assert settings.engine_socket == Path("/srv/gaia/run/engine/compute.sock")
    assert settings.postgres_socket_dir == Path("/srv/gaia/postgres-socket")


def test_sockets_of_a_long_path_lie_elsewhere_always_in_the_same_place_and_apart() -> None:
    long, other = (Path("/srv/" + 10 * "folder-of-great-length/" + name) for name in ("a", "b"))
    settings = Settings(data_dir=long)
    assert settings.engine_socket == Settings(data_dir=long).engine_socket
    folders = {
        settings.engine_socket.parent,
        settings.postgres_socket_dir,
        Settings(data_dir=other).engine_socket.parent,
    }
    assert len(folders) == 3
    assert all(len(bytes(folder)) < 90 for folder in folders)


def test_without_a_database_url_the_embedded_server_is_meant() -> None:
    assert Settings(data_dir=Path("/srv/a b")).database_dsn == "postgresql://gaia@/gaia?host=/srv/a%20b/postgres-socket"
    assert Settings(database_url="postgresql://me@host/gaia").database_dsn == "postgresql://me@host/gaia"


def test_the_files_of_the_engine_follow_from_what_it_does_at_once() -> None:
    # 32 threads, 27 connections to the database, and for each miner a connection and a file
    assert Settings(job_concurrency=32, miner_concurrency=64).engine_files == 32 + 27 + 2 * 64
    assert Settings(job_concurrency=1000).database_connections == 43  # the embedded server has 50


def test_the_bounds_of_workers_are_told_in_bytes_too() -> None:
    settings = Settings(worker_soft_memory_mib=128, worker_hard_memory_mib=256)
    assert (settings.worker_soft_memory_bytes, settings.worker_hard_memory_bytes) == (134_217_728, 268_435_456)
