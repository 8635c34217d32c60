"""How a command asks the validator's database: where the settings say it is, in one snapshot, each query bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from gaia.contracts.job import Connection

if TYPE_CHECKING:
    from gaia.validator.db.pool import DatabasePool

T = TypeVar("T")


async def ask_database(question: Callable[[Connection], Awaitable[T]]) -> T:
    """What `question` makes of a connection that may read, and sees one instant however much it asks.

    Raises ConfigurationError where there is no validator's database, DatabaseUnavailable where nothing answers.
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
        raise ConfigurationError("this database holds no validator's tables: start `gaia up` on it first") from error
    finally:
        await database.close()
