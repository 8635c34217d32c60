"""The lock on a cluster and the rule for stale pid files. What follows them: test_embedded_postgres.py."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gaia.validator.db.postgres_exec import (
    EXIT_REFUSED,
    ClusterInUseError,
    clear_stale_pid_files,
    lock_cluster,
)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    data, sockets = tmp_path / "pg", tmp_path / "s"
    data.mkdir()
    sockets.mkdir()
    return data, sockets


def pid_file(data: Path, pid: str, sockets: Path | None = None) -> Path:
    path = data / "postmaster.pid"
    lines = [pid, str(data), "1767225600", "5432", str(sockets or data), ""]
    path.write_text("\n".join(lines), encoding="ascii")
    return path


def ended_pid() -> int:
    """A number that nobody has."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def test_second_locker_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "pg.lock"
    first = lock_cluster(path, 0)
    with pytest.raises(ClusterInUseError, match=f"runs on {tmp_path}/pg: stop the other validator"):
        lock_cluster(path, 0)
    os.close(first)
    os.close(lock_cluster(path, 0))


def test_waiting_for_the_lock_ends_when_nobody_wants_it_any_more(tmp_path: Path) -> None:
    held = lock_cluster(tmp_path / "pg.lock", 0)
    with pytest.raises(ClusterInUseError):
        lock_cluster(tmp_path / "pg.lock", 1e9, still_wanted=lambda: False)
    os.close(held)


def test_pid_file_of_an_unrelated_process_is_removed(folders: tuple[Path, Path]) -> None:
    path = pid_file(folders[0], str(os.getpid()))
    lock = folders[1] / ".s.PGSQL.5432.lock"
    lock.write_text(f"{os.getpid()}\n", encoding="ascii")
    clear_stale_pid_files(*folders)
    assert not path.exists()
    assert not lock.exists()


@pytest.mark.parametrize("text", ["", "\n", "rubbish\n", "-\n"])
def test_pid_file_without_a_number_is_removed(folders: tuple[Path, Path], text: str) -> None:
    (folders[0] / "postmaster.pid").write_text(text, encoding="ascii")
    clear_stale_pid_files(*folders)
    assert not (folders[0] / "postmaster.pid").exists()


def test_pid_file_of_a_dead_process_is_left_to_the_server(folders: tuple[Path, Path]) -> None:
    path = pid_file(folders[0], str(ended_pid()))
    clear_stale_pid_files(*folders)
    assert path.exists()


def test_absent_files_are_fine(folders: tuple[Path, Path]) -> None:
    clear_stale_pid_files(*folders)


def test_process_that_works_in_the_cluster_is_its_server(folders: tuple[Path, Path]) -> None:
    with subprocess.Popen(["sleep", "1000"], cwd=folders[0]) as server:
        try:
            path = pid_file(folders[0], str(server.pid))
            with pytest.raises(ClusterInUseError, match=str(server.pid)):
                clear_stale_pid_files(*folders)
            assert path.exists()
        finally:
            server.kill()


@pytest.mark.parametrize("where", ["our socket folder", "the folder in the pid file"])
def test_server_that_answers_is_not_disturbed(folders: tuple[Path, Path], server_folder: Path, where: str) -> None:
    elsewhere = where == "the folder in the pid file"
    place = server_folder if elsewhere else folders[1]
    path = pid_file(folders[0], str(os.getpid()), server_folder if elsewhere else None)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(place / ".s.PGSQL.5432"))  # pytest's paths are too long
        server.listen()
        with pytest.raises(ClusterInUseError):
            clear_stale_pid_files(*folders)
    assert path.exists()


def test_program_refuses_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gaia.validator.db.postgres_exec", "--ppid", str(os.getpid())]
    places = {"data": "pg", "sockets": "s", "log": "no/log", "lock": "pg.lock"}
    options = [f"--{name}={tmp_path / place}" for name, place in places.items()]
    done = subprocess.run(
        [*command, *options, "--", "/bin/true"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == EXIT_REFUSED
    assert done.stderr == f"FATAL:  cannot start PostgreSQL: No such file or directory ({tmp_path}/no/log)\n"
