"""Gives commands read access to the validator's database, at the address in the settings and in one snapshot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from gaia.contracts.job import Connection

if TYPE_CHECKING:
    from gaia.validator.db.pool import DatabasePool

T = TypeVar("T")


async def ask_database(question: Callable[[Connection], Awaitable[T]]) -> T:
    """The result of `question`, which gets a read-only connection. All its queries see one snapshot.

    Raises ConfigurationError if the database is not a validator's, DatabaseUnavailable if it does not answer.
    """
    async with open_database() as database, database.transaction() as conn:
        await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return await question(conn)


@asynccontextmanager
async def open_database() -> AsyncIterator[DatabasePool]:
    """A pool of one connection."""
    import asyncpg

    from gaia.contracts.errors import ConfigurationError
    from gaia.validator.db.pool import DatabasePool
    from gaia.validator.utils.config import load_settings

    database = await DatabasePool.connect(
        load_settings().database_dsn, min_size=1, max_size=1, connect_timeout_s=5.0, command_timeout_s=30.0
    )
    try:
        yield database
    except asyncpg.UndefinedTableError as error:
        raise ConfigurationError(
            "this database lacks tables of a validator, or of a task in GAIA_TASKS: start `gaia up` on it anew"
        ) from error
    finally:
        await database.close()
