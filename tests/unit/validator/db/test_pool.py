"""The pool: values in and out, transactions, and which errors come out under which name."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from gaia.contracts.errors import ConfigurationError
from gaia.validator.db import pool as pool_module
from gaia.validator.db.pool import DatabasePool, DatabaseUnavailable, place_of
from tests.support.postgres_relay import relayed

pytestmark = pytest.mark.database


async def connect(dsn: str, **more: Any) -> DatabasePool:
    limits: dict[str, Any] = {"min_size": 1, "max_size": 2, "connect_timeout_s": 10, "command_timeout_s": 30}
    return await DatabasePool.connect(dsn, **{**limits, **more})


@pytest.mark.parametrize("kind", ["json", "jsonb"])
async def test_json_columns_take_and_give_plain_values(database: DatabasePool, kind: str) -> None:
    value = {"text": "Grüße", "number": 0.1, "list": [1, None, True], "nested": {"empty": {}}}
    async with database.acquire() as conn:
        assert await conn.fetchval(f"SELECT $1::{kind}", value) == value
        assert await conn.fetchval(f"SELECT $1::{kind} ->> 'text'", value) == "Grüße"
        assert await conn.fetchval(f"SELECT $1::{kind}", None) is None


async def test_times_come_back_in_utc(database: DatabasePool) -> None:
    async with database.acquire() as conn:
        noon = await conn.fetchval("SELECT '2017-01-01 13:00+01'::timestamptz")
    assert noon == datetime(2017, 1, 1, 12, tzinfo=UTC)
    assert noon.tzinfo is not None


async def test_transaction_commits_at_its_end_and_rolls_back_on_an_exception(database: DatabasePool) -> None:
    async with database.transaction() as conn:
        await conn.execute("CREATE TABLE t (n integer)")
        await conn.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as conn:
            await conn.execute("INSERT INTO t VALUES (2)")
            raise ZeroDivisionError
    async with database.acquire() as conn:
        assert await conn.fetchval("SELECT array_agg(n) FROM t") == [1]


async def test_cut_connection_is_the_database_s_fault_and_the_next_one_works(database: DatabasePool) -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        async with database.acquire() as victim:
            pid = await victim.fetchval("SELECT pg_backend_pid()")
            async with database.acquire() as conn:
                await conn.execute("SELECT pg_terminate_backend($1, 10000)", pid)
            await victim.execute("SELECT 1")
    assert caught.value.retryable
    async with database.acquire() as conn:
        assert await conn.fetchval("SELECT 1") == 1


@pytest.mark.parametrize("use", ["acquire", "transaction"])
async def test_a_connection_asked_between_its_servers_farewell_and_the_end_of_the_stream(
    database_dsn: str, use: str
) -> None:
    async with relayed(database_dsn) as relay:
        database = await connect(relay.dsn)
        relay.say_farewell()
        await asyncio.sleep(0.1)  # until it is read
        with pytest.raises(DatabaseUnavailable):
            async with getattr(database, use)() as conn:
                await conn.execute("SELECT 1")
        async with database.acquire() as conn:
            assert await conn.fetchval("SELECT 1") == 1
        await database.close()


async def test_errors_of_others_pass_through_as_they_are(database: DatabasePool) -> None:
    with pytest.raises(FileNotFoundError):
        async with database.transaction():
            raise FileNotFoundError("a chunk")
    with pytest.raises(TimeoutError):
        async with database.transaction():
            raise TimeoutError("a miner")
    with pytest.raises(asyncpg.UndefinedTableError):
        async with database.acquire() as conn:
            await conn.execute("SELECT * FROM nowhere")


async def test_query_past_its_limit_is_stopped(database_dsn: str) -> None:
    database = await connect(database_dsn, command_timeout_s=0.2)
    with pytest.raises(TimeoutError):
        async with database.acquire() as conn:
            await conn.execute("SELECT pg_sleep(1000)")
    await database.close()


async def test_waiting_for_a_free_connection_ends(database_dsn: str) -> None:
    database = await connect(database_dsn, max_size=1, connect_timeout_s=0.5)
    async with database.acquire():
        with pytest.raises(DatabaseUnavailable, match="TimeoutError"):
            async with database.acquire():
                pass
    await database.close()


async def test_closing_drops_connections_that_are_never_given_back(
    database_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_CLOSE_TIMEOUT_S", 0.1)
    database, holding = await connect(database_dsn), asyncio.Event()

    async def hold() -> None:
        async with database.acquire() as conn:
            holding.set()
            await conn.execute("SELECT pg_sleep(1000)")

    holder = asyncio.create_task(hold())
    await holding.wait()
    await database.close()
    with pytest.raises(DatabaseUnavailable):
        await holder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("gaia@", "nobody@"), 'refuses us: role "nobody" does not exist; check user, password'),
        (("/test_", "/no_such_"), r'refuses us: database "no_such_\d+" does not exist'),
        (("?host=", "?sslmode=perhaps&host="), "refuses us: .*sslmode"),
    ],
)
async def test_refusal_names_cause_and_fix_in_one_line(
    database_dsn: str, change: tuple[str, str], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        await connect(database_dsn.replace(*change))
    assert "\n" not in str(caught.value)


async def test_absent_server_may_come_back() -> None:
    with pytest.raises(DatabaseUnavailable, match=r"cannot reach the database gaia at /nowhere: .*running"):
        await connect("postgresql://gaia@/gaia?host=/nowhere")


async def test_server_that_is_too_old_is_refused(database_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "OLDEST_SERVER_MAJOR", 99)
    with pytest.raises(ConfigurationError, match="too old: upgrade it to 99 or newer, or unset DATABASE_URL"):
        await connect(database_dsn)


@pytest.mark.parametrize(
    ("dsn", "place"),
    [
        ("postgres://u:p@h:1/d?sslmode=require", "the database d at h:1"),
        ("postgresql://", "the database (default) at localhost"),
        ("postgresql://u:p@[::1", "the database in DATABASE_URL"),
        ("postgresql://u:p@h:port/d", "the database in DATABASE_URL"),
    ],
)
def test_place_of_a_dsn(dsn: str, place: str) -> None:
    assert place_of(dsn) == place
