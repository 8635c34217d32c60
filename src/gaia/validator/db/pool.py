"""The pool of connections to PostgreSQL, through which the IO-Engine reaches its database.

Owns connecting, the jsonb codec, the time limits and the translation of the driver's errors. A problem that may pass by
itself becomes DatabaseUnavailable (retryable). A problem that the operator must correct becomes ConfigurationError. The
module holds no SQL of the domain, and puts no password into a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs, urlsplit

import asyncpg
import msgspec

from gaia.contracts.errors import ConfigurationError, ValidatorFault
from gaia.contracts.job import Connection

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

OLDEST_SERVER_MAJOR = 14
_CLOSE_TIMEOUT_S = 5.0
_SESSION_SETTINGS = {
    "application_name": "gaia",
    "timezone": "UTC",
    # otherwise a forgotten transaction would keep rows locked and hinder vacuum
    "idle_in_transaction_session_timeout": "300s",
}
_REFUSED = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ClientConfigurationError,
    ValueError,
)
_DRIVER = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)  # OSError covers TimeoutError
_PASSING = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shut down, starting up, killed by its administrator
    asyncpg.InsufficientResourcesError,  # disk full, out of memory, too many connections
)


class DatabaseUnavailable(ValidatorFault):
    """PostgreSQL cannot be reached, is restarting, or lacks disk, memory or connections. It may be back soon."""

    retryable = True


class DatabasePool:
    """The connections to one database. Implements gaia.tasks.defined_tasks.base.Database."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], *, dsn: str, connect_timeout_s: float) -> None:
        self._pool = pool
        self._dsn = dsn
        self._connect_timeout_s = connect_timeout_s

    @classmethod
    async def connect(
        cls, dsn: str, *, min_size: int, max_size: int, connect_timeout_s: float, command_timeout_s: float
    ) -> DatabasePool:
        """Open `min_size` connections to `dsn`.

        A query that takes longer than `command_timeout_s` raises TimeoutError.

        Raises:
            DatabaseUnavailable: The server cannot be reached within `connect_timeout_s`.
            ConfigurationError: The server refuses us, or is older than PostgreSQL 14 (operator's fault).
        """
        with _connecting(dsn):
            pool = asyncpg.create_pool(
                dsn,
                min_size=min_size,
                max_size=max_size,
                init=_speak_json,
                timeout=connect_timeout_s,
                command_timeout=command_timeout_s,
                server_settings=_SESSION_SETTINGS,
            )
            await asyncio.wait_for(pool, connect_timeout_s + 1.0)
        database = cls(pool, dsn=dsn, connect_timeout_s=connect_timeout_s)
        try:
            await database._refuse_old_server()
        except BaseException:
            pool.terminate()
            raise
        return database

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """Borrow a connection. If it is lost inside the block, DatabaseUnavailable is raised."""
        async with self._borrow() as connection:
            yield cast("Connection", connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Borrow a connection in a transaction. It commits at the end, and rolls back on any exception."""
        async with self._borrow() as connection, connection.transaction():
            yield cast("Connection", connection)

    @asynccontextmanager
    async def dedicated(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """A connection outside the pool, for LISTEN. At the end it is dropped without waiting for the server."""
        with _connecting(self._dsn):
            connection = await asyncpg.connect(
                self._dsn, timeout=self._connect_timeout_s, server_settings=_SESSION_SETTINGS
            )
        try:
            with _translating(self._dsn, connection):
                yield connection
        finally:
            connection.terminate()

    async def close(self) -> None:
        """Close all connections. Those still in use after a few seconds are dropped."""
        try:
            await asyncio.wait_for(self._pool.close(), _CLOSE_TIMEOUT_S)
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def _borrow(self) -> AsyncIterator[PoolConnectionProxy[asyncpg.Record]]:
        with _connecting(self._dsn):
            connection = await self._pool.acquire(timeout=self._connect_timeout_s)
        try:
            with _translating(self._dsn, connection):
                yield connection
        finally:
            # if the release fails, the driver drops the connection; the block's commits stay
            with suppress(*_PASSING, *_DRIVER):
                await self._pool.release(connection, timeout=_CLOSE_TIMEOUT_S)

    async def _refuse_old_server(self) -> None:
        async with self._borrow() as connection:
            version = connection.get_server_version()
        if version.major < OLDEST_SERVER_MAJOR:
            raise ConfigurationError(
                f"{place_of(self._dsn)} is PostgreSQL {version.major}, which is too old: upgrade it to "
                f"{OLDEST_SERVER_MAJOR} or newer, or unset DATABASE_URL to use the embedded one"
            )


def place_of(dsn: str) -> str:
    """The database and server of a DSN in words, without the password.

    >>> place_of("postgresql://me:secret@db.example:5433/gaia")
    'the database gaia at db.example:5433'
    >>> place_of("postgresql://gaia@/gaia?host=/run/gaia")
    'the database gaia at /run/gaia'
    """
    try:
        parts = urlsplit(dsn)
        host = parse_qs(parts.query).get("host", [parts.hostname or "localhost"])[0]
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the database in DATABASE_URL"
    return f"the database {parts.path.lstrip('/') or '(default)'} at {host}{port}"


async def _speak_json(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Set up the connection so that json and jsonb columns take and give plain Python values."""
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(
            kind, schema="pg_catalog", encoder=_to_json, decoder=msgspec.json.decode, format="text"
        )


def _to_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


@contextmanager
def _connecting(dsn: str) -> Iterator[None]:
    try:
        yield
    except _REFUSED as error:
        raise ConfigurationError(
            f"{place_of(dsn)} refuses us: {_first_line(error)}; check user, password and name in DATABASE_URL"
        ) from error
    except (*_PASSING, *_DRIVER) as error:
        raise DatabaseUnavailable(
            f"cannot reach {place_of(dsn)}: {_first_line(error)}; is PostgreSQL running there?"
        ) from error


@contextmanager
def _translating(
    dsn: str, connection: asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
) -> Iterator[None]:
    """Turn the loss of the server into DatabaseUnavailable. Other errors of the block pass unchanged."""
    try:
        yield
    except _PASSING as error:
        raise DatabaseUnavailable(f"{place_of(dsn)} gave up: {_first_line(error)}") from error
    except _DRIVER as error:
        if not _is_lost(connection):
            raise
        raise DatabaseUnavailable(f"lost {place_of(dsn)}: {_first_line(error)}") from error


def _is_lost(
    connection: asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record],
) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:  # the pool has already taken the lost connection away
        return True


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__
