"""Fixtures: one private PostgreSQL for the test session, a fresh migrated database for each test that asks.

A pytest plugin, named in tests/conftest.py. `database_dsn` gives the address, `database` a pool.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gaia.validator.db.embedded import FAST_STOP_SIGNAL, EmbeddedPostgres

if TYPE_CHECKING:
    from gaia.validator.db.pool import DatabasePool

_TIMEOUT_S = 60.0
_numbers = itertools.count(1)


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """A new folder that the server's unprivileged account can reach (pytest's own is 0700), of short path."""
    folder = Path(tempfile.mkdtemp(prefix="gaia-pg-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def server_in(folder: Path) -> EmbeddedPostgres:
    """A server that is not yet prepared, all of it below `folder`."""
    return EmbeddedPostgres(data_dir=folder / "pg", socket_dir=folder / "run", log_path=folder / "pg.log")


@contextmanager
def running(server: EmbeddedPostgres, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """The prepared server, started with these options on top; stopped at the end if it still runs."""
    process = subprocess.Popen([*server.argv(), *options], stdin=subprocess.DEVNULL)
    try:
        server.wait_ready(_TIMEOUT_S, alive=lambda: process.poll() is None)
        yield process
    finally:
        process.send_signal(FAST_STOP_SIGNAL)
        process.wait(_TIMEOUT_S)


@pytest.fixture(scope="session")
def pristine_cluster() -> Iterator[Path]:
    """A new cluster that never ran: to be copied by tests that start, break and kill a server of their own."""
    folder = Path(tempfile.mkdtemp(prefix="gaia-pg-", dir="/tmp"))
    folder.chmod(0o755)
    server = server_in(folder)
    server.prepare()
    yield server.data_dir
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """A running server. Its durability is off: no test pulls the machine's plug."""
    folder = Path(tempfile.mkdtemp(prefix="gaia-pg-", dir="/tmp"))
    folder.chmod(0o755)
    server = server_in(folder)
    try:
        server.prepare()
        with running(server, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"):
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_server(postgres_server: EmbeddedPostgres) -> EmbeddedPostgres:
    """The server, its database `gaia` migrated by the real program; tests copy it and never use it."""
    command = [sys.executable, "-m", "gaia.validator.db.setup", "--dsn", postgres_server.dsn]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    return postgres_server


@pytest.fixture
async def empty_database_dsn(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """The address of a new database without any table."""
    async for dsn in _new_database(postgres_server, template="template1"):
        yield dsn


@pytest.fixture
async def database_dsn(migrated_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """The address of a new database with the newest schema, gone after the test."""
    async for dsn in _new_database(migrated_server, template="gaia"):
        yield dsn


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[DatabasePool]:
    """A pool on a new database with the newest schema."""
    from gaia.validator.db.pool import DatabasePool

    pool = await DatabasePool.connect(
        database_dsn, min_size=1, max_size=10, connect_timeout_s=_TIMEOUT_S, command_timeout_s=_TIMEOUT_S
    )
    yield pool
    await pool.close()


async def _new_database(server: EmbeddedPostgres, *, template: str) -> AsyncIterator[str]:
    import asyncpg

    name = f"test_{next(_numbers)}"
    admin = await asyncpg.connect(server.dsn, database="postgres", timeout=_TIMEOUT_S)
    try:
        await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
        yield server.dsn.replace("/gaia?", f"/{name}?")
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await admin.close(timeout=_TIMEOUT_S)
