"""Brings a database to the newest schema: `python -m gaia.validator.db.setup`, a child run once at start.

It owns the waiting for the server, the lock against a second migration at the same time, and the refusal of a
database that a newer Gaia has used. It must never create, drop or empty anything that no migration names.

Exit status: 0 done; 1 the server could not be reached in time; 3 refused, trying again cannot help.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

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
    """The database was used by a newer Gaia than this one."""


class SchemaChange(Struct, frozen=True, kw_only=True):
    """From which revision to which a database was brought; None is the empty schema."""

    before: str | None
    after: str | None


async def run_comprehensive_database_setup(dsn: str, *, wait_s: float = 60.0, revision: str = "head") -> SchemaChange:
    """Wait for the server, check its version, and migrate to `revision`, in one transaction under a lock.

    A `revision` below the present one migrates down. Raises DatabaseUnavailable after `wait_s`,
    ConfigurationError if the server refuses us or is too old, SchemaTooNewError if the database knows more
    than we do.
    """
    await _wait_for_server(dsn, wait_s)
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: _connection(dsn), poolclass=NullPool)
    try:
        async with asyncio.timeout(_STATEMENT_TIMEOUT_S), engine.begin() as connection:
            return await connection.run_sync(_migrate, revision)
    finally:
        await engine.dispose()


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
    """The driver reads the DSN itself, so that this module and the pool cannot understand it differently."""
    return await asyncpg.connect(dsn, timeout=_CONNECT_TIMEOUT_S, command_timeout=_STATEMENT_TIMEOUT_S)


def _migrate(connection: Connection, revision: str) -> SchemaChange:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT_S}s'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    scripts = ScriptDirectory.from_config(config)
    before = _present_revision(connection)
    known = [script.revision for script in scripts.walk_revisions()]  # newest first
    if before is not None and before not in known:
        raise SchemaTooNewError(
            f"the database's schema is at revision {before}, which this Gaia does not know (its newest is "
            f"{known[0]}): install the Gaia that wrote it, or restore the backup from before the upgrade"
        )
    target = known[0] if revision == "head" else revision
    if before is not None and (target == "base" or known.index(target) > known.index(before)):
        command.downgrade(config, target)
    else:
        command.upgrade(config, target)
    return SchemaChange(before=before, after=_present_revision(connection))


def _present_revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def main(arguments: Sequence[str]) -> int:
    """Set up the database of --dsn or of the settings; prints one line and returns the exit status."""
    parser = argparse.ArgumentParser(prog="gaia.validator.db.setup", description="migrates the database")
    parser.add_argument("--dsn", help="instead of that of the settings")
    parser.add_argument("--settings-on-stdin", action="store_true", help="as JSON, instead of the environment")
    parser.add_argument("--wait", type=float, default=60.0, metavar="SECONDS", help="for the server to answer")
    options = parser.parse_args(arguments)
    try:
        dsn = options.dsn or _settings(options.settings_on_stdin).database_dsn
        change = asyncio.run(run_comprehensive_database_setup(dsn, wait_s=options.wait))
    except DatabaseUnavailable as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_UNAVAILABLE
    except GaiaError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_REFUSED
    sys.stdout.write(f"{place_of(dsn)}: schema {change.before or 'empty'} -> {change.after}\n")
    return 0


def _settings(on_stdin: bool) -> Settings:
    if on_stdin:
        return Settings.from_json(sys.stdin.buffer.read())
    from gaia.validator.utils.config import load_settings

    return load_settings()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
