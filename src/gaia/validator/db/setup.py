"""Brings a database to the newest schema: `python -m gaia.validator.db.setup`, a child that runs once at the start.

Waits for the server, prevents two migrations at the same time with a lock, and refuses a database that a newer Gaia
has used. Never creates, drops or empties anything that no migration names.

The tables that all tasks share have one history of revisions. The tables of each task have another, with its own
version table, so that a task that is switched off keeps its tables. One transaction migrates all of them.

Exit status: 0 after success, 1 if the server could not be reached in time, 3 if another attempt cannot help.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from msgspec import Struct
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from gaia.contracts.errors import ConfigurationError, GaiaError
from gaia.tasks.defined_tasks.definition import TaskDefinition
from gaia.tasks.defined_tasks.registry import defined_tasks
from gaia.validator.db.pool import DatabasePool, DatabaseUnavailable, place_of
from gaia.validator.utils.settings import Settings

EXIT_UNAVAILABLE = 1
EXIT_REFUSED = 3
_ADVISORY_LOCK = 0x6761_6961  # "gaia"
_LOCK_TIMEOUT_S = 120
_CONNECT_TIMEOUT_S = 5.0
_STATEMENT_TIMEOUT_S = 600.0
_RETRY_S = 0.1


class SchemaTooNewError(ConfigurationError):
    """A newer Gaia than this one has used the database."""


class History(Struct, frozen=True, kw_only=True):
    """A sequence of revisions, one file for each."""

    name: str
    """The task's name, or `gaia` for the tables that all tasks share."""
    folder: Path
    version_table: str

    @property
    def what(self) -> str:
        """The name of the history in messages."""
        return "the database's schema" if self is SHARED else f"the schema of the task {self.name}"


SHARED: Final = History(
    name="gaia", folder=Path(__file__).parent / "migrations" / "versions", version_table="alembic_version"
)


class SchemaChange(Struct, frozen=True, kw_only=True):
    """The revisions of a history before and after a migration. None is the empty schema."""

    history: str
    before: str | None
    after: str | None


async def run_comprehensive_database_setup(
    dsn: str,
    *,
    tasks: Sequence[TaskDefinition],
    wait_s: float = 60.0,
    revisions: Mapping[str, str] = MappingProxyType({}),
) -> tuple[SchemaChange, ...]:
    """Wait for the server, check its version, and migrate every history, in one transaction under a lock.

    Args:
        dsn: The database.
        tasks: The tasks whose tables to migrate, besides the tables that all tasks share.
        wait_s: How long to wait for the server.
        revisions: History name -> the revision to migrate to, if not the newest. One below the present one migrates
            down, `base` to the empty schema.

    Raises:
        DatabaseUnavailable: The server does not answer within `wait_s`.
        ConfigurationError: The server refuses us or is too old (operator's fault).
        SchemaTooNewError: A newer Gaia has used the database (operator's fault).
    """
    await _wait_for_server(dsn, wait_s)
    histories = (SHARED, *(_history_of(task) for task in tasks if task.migrations is not None))
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: _connection(dsn), poolclass=NullPool)
    try:
        async with asyncio.timeout(_STATEMENT_TIMEOUT_S), engine.begin() as connection:
            return await connection.run_sync(_migrate_all, histories, revisions)
    finally:
        await engine.dispose()


def _history_of(task: TaskDefinition) -> History:
    return History(name=task.name, folder=task.migrations or Path(), version_table=f"alembic_version_{task.name}")


async def _wait_for_server(dsn: str, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            pool = await DatabasePool.connect(
                dsn,
                min_size=1,
                max_size=1,
                connect_timeout_s=_CONNECT_TIMEOUT_S,
                command_timeout_s=_CONNECT_TIMEOUT_S,
            )
        except DatabaseUnavailable:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(_RETRY_S)
        else:
            await pool.close()
            return


async def _connection(dsn: str) -> asyncpg.Connection[asyncpg.Record]:
    """Connect. The driver reads the DSN itself, so that this module and the pool cannot read it differently."""
    return await asyncpg.connect(dsn, timeout=_CONNECT_TIMEOUT_S, command_timeout=_STATEMENT_TIMEOUT_S)


def _migrate_all(
    connection: Connection, histories: Sequence[History], revisions: Mapping[str, str]
) -> tuple[SchemaChange, ...]:
    connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT_S}s'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    return tuple(_migrate(connection, history, revisions.get(history.name, "head")) for history in histories)


def _migrate(connection: Connection, history: History, revision: str) -> SchemaChange:
    config = Config()
    for option, value in (
        ("script_location", str(Path(__file__).parent / "migrations")),
        ("version_locations", str(history.folder)),
        ("path_separator", "newline"),  # a folder's name may contain every other separator
    ):
        config.set_main_option(option, value.replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["version_table"] = history.version_table
    scripts = ScriptDirectory.from_config(config)
    before = _present_revision(connection, history)
    known = [script.revision for script in scripts.walk_revisions()]  # newest first
    if not known:
        raise ConfigurationError(f"{history.what} cannot be set up: its folder of migrations holds no revision")
    if before is not None and before not in known:
        raise SchemaTooNewError(
            f"{history.what} is at revision {before}, which this Gaia does not know (its newest is "
            f"{known[0]}): install the Gaia that wrote it, or restore the backup from before the upgrade"
        )
    target = known[0] if revision == "head" else revision
    if before is not None and (target == "base" or known.index(target) > known.index(before)):
        command.downgrade(config, target)
    else:
        command.upgrade(config, target)
    return SchemaChange(history=history.name, before=before, after=_present_revision(connection, history))


def _present_revision(connection: Connection, history: History) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table": history.version_table})
    return context.get_current_revision()


def main(arguments: Sequence[str]) -> int:
    """Set up the database of --dsn or of the settings. Prints one line and returns the exit status."""
    parser = argparse.ArgumentParser(prog="gaia.validator.db.setup", description="migrates the database")
    parser.add_argument("--dsn", help="the database, instead of that of the settings")
    parser.add_argument("--tasks", help="the tasks whose tables to set up, instead of those of the settings")
    parser.add_argument(
        "--settings-on-stdin",
        action="store_true",
        help="read the settings as JSON from stdin",
    )
    parser.add_argument("--wait", type=float, default=60.0, metavar="SECONDS", help="how long to wait for the server")
    options = parser.parse_args(arguments)
    try:
        settings = Settings() if options.dsn else _settings(options.settings_on_stdin)
        dsn = options.dsn or settings.database_dsn
        tasks = defined_tasks(options.tasks.split(",") if options.tasks else settings.tasks)
        changes = asyncio.run(run_comprehensive_database_setup(dsn, tasks=tasks, wait_s=options.wait))
    except DatabaseUnavailable as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_UNAVAILABLE
    except GaiaError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_REFUSED
    told = ", ".join(f"{change.history} {change.before or 'empty'} -> {change.after}" for change in changes)
    sys.stdout.write(f"{place_of(dsn)}: schema of {told}\n")
    return 0


def _settings(on_stdin: bool) -> Settings:
    if on_stdin:
        return Settings.from_json(sys.stdin.buffer.read())
    from gaia.validator.utils.config import load_settings

    return load_settings()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
