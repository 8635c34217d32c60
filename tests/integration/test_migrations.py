"""The schema's migrations on a real server: up, down, up again, refused, and both at once."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import asyncpg
import pytest

from gaia.validator.db.pool import DatabaseUnavailable
from gaia.validator.db.setup import (
    EXIT_REFUSED,
    EXIT_UNAVAILABLE,
    SchemaChange,
    SchemaTooNewError,
    run_comprehensive_database_setup,
)

pytestmark = pytest.mark.database

NEWEST = "0003"
_OBJECTS = """
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('public', 'simulated_chain') AND c.relname NOT LIKE 'alembic_version%' ORDER BY 1
"""
_COLUMNS = """
SELECT table_schema, table_name, column_name, data_type, is_nullable, column_default
FROM information_schema.columns WHERE table_schema IN ('public', 'simulated_chain') ORDER BY 1, 2, 3
"""


async def _fetch(dsn: str, query: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(dsn, timeout=30)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close(timeout=30)


async def test_empty_database_is_brought_to_the_newest_schema(empty_database_dsn: str) -> None:
    change = await run_comprehensive_database_setup(empty_database_dsn)
    assert change == SchemaChange(before=None, after=NEWEST)
    tables = {name for (name,) in await _fetch(empty_database_dsn, _OBJECTS)}
    assert {"public.job", "public.score", "public.score_component", "simulated_chain.neuron"} <= tables


async def test_second_set_up_changes_nothing(database_dsn: str) -> None:
    assert await run_comprehensive_database_setup(database_dsn) == SchemaChange(before=NEWEST, after=NEWEST)


async def test_downgrade_removes_everything_and_upgrade_restores_it(database_dsn: str) -> None:
    columns = await _fetch(database_dsn, _COLUMNS)
    for revision in ("0001", "base"):
        await run_comprehensive_database_setup(database_dsn, revision=revision)
    assert await _fetch(database_dsn, _OBJECTS) == []
    change = await run_comprehensive_database_setup(database_dsn)
    assert change == SchemaChange(before=None, after=NEWEST)
    assert await _fetch(database_dsn, _COLUMNS) == columns


async def test_concurrent_set_ups_migrate_once(empty_database_dsn: str) -> None:
    changes = await asyncio.gather(*(run_comprehensive_database_setup(empty_database_dsn) for _ in range(3)))
    assert sorted(str(change.before) for change in changes) == [NEWEST, NEWEST, "None"]


async def test_failing_migration_leaves_the_database_as_it_was(empty_database_dsn: str) -> None:
    await _fetch(empty_database_dsn, "CREATE TABLE weight_set ()")  # in the way of the last table of 0001
    with pytest.raises(Exception, match="weight_set"):
        await run_comprehensive_database_setup(empty_database_dsn)
    assert await _fetch(empty_database_dsn, _OBJECTS) == [("public.weight_set",)]


async def test_schema_of_a_newer_gaia_is_refused(database_dsn: str) -> None:
    await _fetch(database_dsn, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaTooNewError, match=r"9999.*newest is 0003"):
        await run_comprehensive_database_setup(database_dsn)


def _program(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gaia.validator.db.setup", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


async def test_program_refuses_a_newer_schema_in_one_line(database_dsn: str) -> None:
    await _fetch(database_dsn, "UPDATE alembic_version SET version_num = '9999'")
    done = await asyncio.to_thread(_program, "--dsn", database_dsn)
    assert done.returncode == EXIT_REFUSED
    assert done.stderr.count("\n") == 1
    assert "9999" in done.stderr


def test_program_says_when_no_server_answers() -> None:
    done = _program("--dsn", "postgresql://gaia@/gaia?host=/nonexistent", "--wait", "0.1")
    assert done.returncode == EXIT_UNAVAILABLE
    assert done.stderr.count("\n") == 1
    assert "cannot reach the database gaia at /nonexistent" in done.stderr


async def test_waiting_for_the_server_ends(server_folder: object) -> None:
    with pytest.raises(DatabaseUnavailable, match="is PostgreSQL running there"):
        await run_comprehensive_database_setup(f"postgresql://gaia@/gaia?host={server_folder}", wait_s=0.3)
