"""The schema's migrations on a real server: up, down, up again, refused, and both at once."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import asyncpg
import pytest
from msgspec.structs import replace

from gaia.tasks.defined_tasks.registry import defined_tasks
from gaia.validator.db.pool import DatabaseUnavailable
from gaia.validator.db.setup import (
    EXIT_REFUSED,
    EXIT_UNAVAILABLE,
    SchemaChange,
    SchemaTooNewError,
    run_comprehensive_database_setup,
)

pytestmark = pytest.mark.database

WEATHER = defined_tasks(["weather"])
SHARED_NEWEST, WEATHER_NEWEST = "0002", "0002"
NOTHING_NEW = (
    SchemaChange(history="gaia", before=SHARED_NEWEST, after=SHARED_NEWEST),
    SchemaChange(history="weather", before=WEATHER_NEWEST, after=WEATHER_NEWEST),
)
ALL_NEW = tuple(replace(change, before=None) for change in NOTHING_NEW)
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
    assert await run_comprehensive_database_setup(empty_database_dsn, tasks=WEATHER) == ALL_NEW
    tables = {name for (name,) in await _fetch(empty_database_dsn, _OBJECTS)}
    assert {"public.job", "public.score", "public.score_component", "simulated_chain.neuron"} <= tables


async def test_without_a_task_there_is_what_all_share(empty_database_dsn: str) -> None:
    assert await run_comprehensive_database_setup(empty_database_dsn, tasks=()) == ALL_NEW[:1]
    tables = {name for (name,) in await _fetch(empty_database_dsn, _OBJECTS)}
    assert {"public.job", "public.weight_set", "simulated_chain.neuron"} <= tables
    assert tables.isdisjoint({"public.run", "public.score", "public.clone_search"})


async def test_second_set_up_changes_nothing(database_dsn: str) -> None:
    assert await run_comprehensive_database_setup(database_dsn, tasks=WEATHER) == NOTHING_NEW


async def test_downgrade_removes_everything_and_upgrade_restores_it(database_dsn: str) -> None:
    columns = await _fetch(database_dsn, _COLUMNS)
    for revision in ("0001", "base"):
        revisions = {"gaia": revision, "weather": revision}
        await run_comprehensive_database_setup(database_dsn, tasks=WEATHER, revisions=revisions)
    assert await _fetch(database_dsn, _OBJECTS) == []
    assert await run_comprehensive_database_setup(database_dsn, tasks=WEATHER) == ALL_NEW
    assert await _fetch(database_dsn, _COLUMNS) == columns


async def test_a_task_s_tables_come_and_go_without_the_others(database_dsn: str) -> None:
    before = {name for (name,) in await _fetch(database_dsn, _OBJECTS)}
    changes = await run_comprehensive_database_setup(database_dsn, tasks=WEATHER, revisions={"weather": "base"})
    assert changes[1] == SchemaChange(history="weather", before=WEATHER_NEWEST, after=None)
    left = {name for (name,) in await _fetch(database_dsn, _OBJECTS)}
    assert {"public.job", "public.weight_set", "public.weight_set_part"} <= left
    assert {"public.run", "public.score", "public.score_component"} <= before - left


async def test_a_task_that_is_switched_off_keeps_its_tables_and_stops_nobody(database_dsn: str) -> None:
    before = await _fetch(database_dsn, _OBJECTS)
    assert await run_comprehensive_database_setup(database_dsn, tasks=()) == NOTHING_NEW[:1]
    assert await _fetch(database_dsn, _OBJECTS) == before


async def test_concurrent_set_ups_migrate_once(empty_database_dsn: str) -> None:
    setups = (run_comprehensive_database_setup(empty_database_dsn, tasks=WEATHER) for _ in range(3))
    changes = await asyncio.gather(*setups)
    assert sorted(changes, key=str) == sorted([NOTHING_NEW, NOTHING_NEW, ALL_NEW], key=str)


async def test_failing_migration_leaves_the_database_as_it_was(empty_database_dsn: str) -> None:
    await _fetch(empty_database_dsn, "CREATE TABLE run_score ()")  # in the way of the last table of the weather's 0001
    with pytest.raises(Exception, match="run_score"):
        await run_comprehensive_database_setup(empty_database_dsn, tasks=WEATHER)
    assert await _fetch(empty_database_dsn, _OBJECTS) == [("public.run_score",)]


async def test_schema_of_a_newer_gaia_is_refused(database_dsn: str) -> None:
    await _fetch(database_dsn, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaTooNewError, match=r"the database's schema is at revision 9999.*newest is 0002"):
        await run_comprehensive_database_setup(database_dsn, tasks=WEATHER)


async def test_schema_of_a_newer_task_is_refused(database_dsn: str) -> None:
    await _fetch(database_dsn, "UPDATE alembic_version_weather SET version_num = '9999'")
    with pytest.raises(SchemaTooNewError, match="the schema of the task weather is at revision 9999"):
        await run_comprehensive_database_setup(database_dsn, tasks=WEATHER)


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
        await run_comprehensive_database_setup(
            f"postgresql://gaia@/gaia?host={server_folder}", tasks=WEATHER, wait_s=0.3
        )
