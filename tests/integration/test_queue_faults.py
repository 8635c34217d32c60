"""The queue when processes die: a worker in the middle of its commit, and the server itself."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from structlog.testing import capture_logs

from gaia.contracts.job import JobState, LeaseLost, NewJob
from gaia.validator.db.embedded import EmbeddedPostgres
from gaia.validator.db.pool import DatabasePool, DatabaseUnavailable
from gaia.validator.db.queue import PostgresQueue
from gaia.validator.db.setup import run_comprehensive_database_setup
from tests.support.clock import ManualClock
from tests.support.database import running, server_in

pytestmark = [pytest.mark.database, pytest.mark.processes]

TIMEOUT_S = 60.0
LEASE = timedelta(seconds=30)


async def effects(database: DatabasePool) -> list[str]:
    async with database.acquire() as conn:
        return [row["text"] for row in await conn.fetch("SELECT text FROM effect")]


def kill_inside_completion(dsn: str) -> int:
    """Start a victim, SIGKILL it between its effect and its commit; returns its fence."""
    command = [sys.executable, "-m", "tests.support.queue_victim", dsn]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        fence = int(victim.stdout.readline())
        victim.kill()
    return fence


@pytest.fixture
async def effect_table(database: DatabasePool) -> None:
    async with database.acquire() as conn:
        await conn.execute("CREATE TABLE effect (text text NOT NULL)")


@pytest.mark.usefixtures("effect_table")
async def test_worker_killed_inside_its_commit_leaves_no_effect_and_its_job_is_done_once(
    database_dsn: str, database: DatabasePool
) -> None:
    queue = PostgresQueue(database, owner="survivor", lease=LEASE)
    await queue.put(NewJob(kind="score", key="k", max_attempts=5))
    for death in range(1, 4):
        assert await asyncio.to_thread(kill_inside_completion, database_dsn) == death
        assert await effects(database) == []
        async with database.acquire() as conn:
            await conn.execute("UPDATE job SET lease_until = now() - interval '1 s'")
        assert await queue.rescue() == 1
    (job,) = await queue.claim(["score"], 1)
    assert (job.fence, job.attempt) == (4, 4)
    async with queue.completing(job) as conn:
        await conn.execute("INSERT INTO effect VALUES ('from the survivor')")
    assert await effects(database) == ["from the survivor"]
    assert (await queue.depth()).leased == 0


@pytest.mark.usefixtures("effect_table")
async def test_restarted_owner_takes_over_without_waiting_for_the_lease(
    database_dsn: str, database: DatabasePool
) -> None:
    queue = PostgresQueue(database, owner="victim", lease=LEASE)
    await queue.put(NewJob(kind="score", key="k"))
    await asyncio.to_thread(kill_inside_completion, database_dsn)
    assert await queue.reclaim() == 1
    (job,) = await queue.claim(["score"], 1)
    assert job.attempt == 2


@pytest.fixture
async def own_server(pristine_cluster: Path, server_folder: Path) -> EmbeddedPostgres:
    """A prepared server that the test starts and kills."""
    server = server_in(server_folder)
    subprocess.run(["cp", "-a", pristine_cluster, server.data_dir], check=True, timeout=TIMEOUT_S)
    server.prepare()
    return server


async def connect(server: EmbeddedPostgres) -> DatabasePool:
    return await DatabasePool.connect(
        server.dsn, min_size=2, max_size=4, connect_timeout_s=5, command_timeout_s=TIMEOUT_S
    )


async def test_server_killed_during_completion_loses_nothing(own_server: EmbeddedPostgres) -> None:
    with running(own_server) as process:
        await run_comprehensive_database_setup(own_server.dsn, tasks=())
        pool = await connect(own_server)
        queue = PostgresQueue(pool, owner="engine", lease=LEASE)
        await queue.put(NewJob(kind="score", key="a"), NewJob(kind="score", key="b"))
        first, second = await queue.claim(["score"], 2)
        async with queue.completing(first):
            pass
        with pytest.raises(DatabaseUnavailable):
            async with queue.completing(second) as conn:
                await queue.put(NewJob(kind="score", key="follow-up"), conn=conn)
                process.kill()
                await asyncio.to_thread(process.wait, TIMEOUT_S)
                while True:  # until the backend has noticed, too
                    await conn.fetchval("SELECT 1")
        with pytest.raises(DatabaseUnavailable, match="cannot reach the database gaia"):
            await queue.claim(["score"], 1)
    with running(own_server):
        assert await queue.heartbeat([first, second]) == {second.id}
        async with queue.completing(second) as conn:
            await queue.put(NewJob(kind="score", key="follow-up"), conn=conn)
        with pytest.raises(LeaseLost):
            async with queue.completing(second):
                pass
        assert [job.key for job in await queue.claim(["score"], 5)] == ["follow-up"]
        await pool.close()


class Bell:
    """Counts calls; the test waits for the next one."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def __call__(self) -> None:
        self._rung.set()

    async def next(self) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await self._rung.wait()
        self._rung.clear()


async def test_listener_survives_a_killed_server(own_server: EmbeddedPostgres) -> None:
    bell = Bell()
    with running(own_server) as process:
        await run_comprehensive_database_setup(own_server.dsn, tasks=())
        pool = await connect(own_server)
        queue = PostgresQueue(pool, owner="engine", lease=LEASE)
        listener = asyncio.create_task(queue.listen(bell))
        await bell.next()  # it listens
        await queue.put(NewJob(kind="score", key="a"))
        await bell.next()
        process.kill()
        await asyncio.to_thread(process.wait, TIMEOUT_S)
    with running(own_server):
        await bell.next()  # it listens again
        await queue.put(NewJob(kind="score", key="b"))
        await bell.next()
        listener.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listener
        await pool.close()


async def test_listener_tries_less_and_less_often_and_says_so_once_a_minute(own_server: EmbeddedPostgres) -> None:
    bell, clock = Bell(), ManualClock()
    with capture_logs() as logs:
        with running(own_server):
            await run_comprehensive_database_setup(own_server.dsn, tasks=())
            pool = await connect(own_server)
            queue = PostgresQueue(pool, owner="engine", lease=LEASE, clock=clock)
            listener = asyncio.create_task(queue.listen(bell))
            await bell.next()
        async with asyncio.timeout(TIMEOUT_S):
            for _ in range(20):
                await clock.until_asleep()
                await clock.advance(15.0)  # the longest that it waits
            await clock.until_asleep()
        with running(own_server):
            await clock.advance(15.0)
            await bell.next()
            listener.cancel()
            await pool.close()
    away = [entry["away_s"] for entry in logs if entry["event"] == "job_listener_interrupted"]
    assert away == [0.0, 60.0, 120.0, 180.0, 240.0, 300.0]
    assert [entry["away_s"] for entry in logs if entry["event"] == "job_listener_back"] == [315.0]


@pytest.fixture
async def listening(database: DatabasePool) -> AsyncIterator[tuple[PostgresQueue, Bell]]:
    queue, bell = PostgresQueue(database, owner="engine", lease=LEASE), Bell()
    listener = asyncio.create_task(queue.listen(bell))
    await bell.next()
    yield queue, bell
    listener.cancel()


async def test_jobs_of_an_open_transaction_wake_nobody(
    database: DatabasePool, listening: tuple[PostgresQueue, Bell]
) -> None:
    queue, bell = listening
    woken = asyncio.create_task(bell.next())
    async with database.transaction() as conn:
        await queue.put(NewJob(kind="score", key="a"), conn=conn)
        async with database.acquire() as other:  # time for a notification to arrive, if there were one
            await other.execute("SELECT 1")
        assert not woken.done()
    await woken


async def test_listener_finds_its_connection_cut(database: DatabasePool, listening: tuple[PostgresQueue, Bell]) -> None:
    queue, bell = listening
    async with database.acquire() as conn:
        cut = await conn.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        )
    assert cut == 1
    await bell.next()
    await queue.put(NewJob(kind="score", key="a"))
    await bell.next()
    assert (await queue.claim(["score"], 1))[0].state is JobState.LEASED


async def test_wrong_password_is_named_and_not_shown(own_server: EmbeddedPostgres) -> None:
    rules = own_server.data_dir / "pg_hba.conf"
    with running(own_server):
        admin = await asyncpg.connect(own_server.dsn, timeout=TIMEOUT_S)
        await admin.execute("CREATE ROLE alice LOGIN PASSWORD 'right'")
        rules.write_text("local all alice scram-sha-256\nlocal all all trust\n", encoding="ascii")
        await admin.execute("SELECT pg_reload_conf()")
        await admin.close(timeout=TIMEOUT_S)
        dsn = own_server.dsn.replace("gaia@", "alice:wr0ng@")
        with pytest.raises(Exception, match='password authentication failed for user "alice"') as caught:
            async with asyncio.timeout(TIMEOUT_S):
                while True:  # until the server has read its rules again
                    pool = await DatabasePool.connect(
                        dsn, min_size=1, max_size=1, connect_timeout_s=5, command_timeout_s=5
                    )
                    await pool.close()
    assert caught.type.__name__ == "ConfigurationError"
    assert "wr0ng" not in str(caught.value)
    assert "\n" not in str(caught.value)
