"""A world for tests of whole runs: an engine with a worker, a database, the simulated chain, and miners over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gaia.chain.simulated import SimulatedChain
from gaia.contracts.ids import Hotkey
from gaia.miner.conduct import Conduct
from gaia.miner.run_store import AcceptedRun
from gaia.protocol.forecast_messages import ForecastRequest
from gaia.protocol.keys import create_key_file
from gaia.tasks.defined_tasks.weather.supply.catalogue import SourceRef, SourceSet
from gaia.tasks.defined_tasks.weather.validator.records import results
from gaia.tasks.defined_tasks.weather.validator.records.runs import (
    Run,
    RunMiner,
    RunState,
    load_miners,
    load_run,
    record_commitment,
)
from gaia.tasks.defined_tasks.weather.validator.records.scores import load_combined
from gaia.tasks.defined_tasks.weather.validator.steps.lifecycle import Kind, run_job
from gaia.validator.app.io_engine import IOEngine
from gaia.validator.db.embedded import EmbeddedPostgres
from gaia.validator.db.pool import DatabasePool
from gaia.validator.db.queue import PostgresQueue
from gaia.validator.utils.settings import Settings
from tests.support.small_world import (
    NETUID,
    SPEC,
    FormulaMiner,
    Recipe,
    forecast_with_error,
    insert_run_at,
    new_database,
    simulated_subnet,
    validator_settings,
    write_archive,
)

SETTLE_WITHIN_S = 90.0
DAYS = 9
GOOD, FAIR, FAIR_TOO = forecast_with_error(0.2), forecast_with_error(0.5), forecast_with_error(0.4)
CLOSED_PORT = "http://127.0.0.1:9"
"""The discard service, which nothing of ours listens on."""


class World:
    """An engine that works the jobs of a database, and ways to give it runs."""

    def __init__(self, engine: IOEngine, settings: Settings, database: DatabasePool, chain: SimulatedChain) -> None:
        self.engine = engine
        self.settings = settings
        self.database = database
        self.chain = chain
        self.queue = PostgresQueue(database, owner="test", lease=timedelta(seconds=30))
        self.folder = settings.data_dir.parent
        archive = SourceRef(format="archive", path=str(self.folder / "archive"))
        self.sources = SourceSet(truth=archive, reference=archive, climatology=archive)

    @contextlib.asynccontextmanager
    async def miners(self, **cast: tuple[Recipe | None, Conduct | None]) -> AsyncIterator[dict[str, FormulaMiner]]:
        """Started miners by name; off the subnet at the end."""
        async with contextlib.AsyncExitStack() as stack:
            started = {}
            for name, (recipe, conduct) in cast.items():
                miner = FormulaMiner(self.folder, recipe, conduct)
                stack.push_async_callback(miner.stop)
                await miner.start(self.chain)
                stack.push_async_callback(self.chain.deregister, NETUID, miner.hotkey)
                started[name] = miner
            yield started

    async def close_run(self, run: Run, *miners: FormulaMiner) -> None:
        """A run just past its commit deadline: requested, computed, committed, and now to be closed."""
        neurons = [n for n in await self.chain.neurons(NETUID) if n.hotkey in {m.hotkey for m in miners}]
        async with self.database.transaction() as conn:
            await insert_run_at(conn, run, neurons)
            for miner in miners:
                digest = commit_of(run, miner)
                await record_commitment(conn, run.run_id, miner.hotkey, digest, run.commit_deadline)
        await self.queue.put(run_job(Kind.COLLECT, run.run_id))

    async def settled(self, run_id: str) -> RunState:
        """Wait until no job of the run is left to be done soon."""
        open_jobs = (
            "SELECT count(*) FROM job WHERE payload ->> 'run_id' = $1 AND state IN ('ready', 'leased')"
            " AND run_at < now() + interval '1 minute'"
        )
        deadline = time.monotonic() + SETTLE_WITHIN_S
        while await self.value(open_jobs, run_id) > 0:
            assert time.monotonic() < deadline, await self.rows("SELECT * FROM job WHERE state <> 'done'")
            await asyncio.sleep(0.1)
        dead = await self.rows("SELECT key, last_error FROM job WHERE state = 'dead'")
        assert dead == []
        async with self.database.acquire() as conn:
            return (await load_run(conn, run_id)).state

    async def miners_of(self, run_id: str) -> Mapping[Hotkey, RunMiner]:
        async with self.database.acquire() as conn:
            return {miner.hotkey: miner for miner in await load_miners(conn, run_id)}

    async def scores_of(self, run_id: str) -> Mapping[Hotkey, float | None]:
        async with self.database.acquire() as conn:
            return {score.hotkey: score.score for score in await load_combined(conn, run_id)}

    async def lead_score_of(self, run_id: str, hotkey: str) -> float:
        """The mean over the leads, which weigh the same up to a week."""
        query = "SELECT avg(lead_score), count(*) FROM score WHERE run_id = $1 AND hotkey = $2"
        (row,) = await self.rows(query, run_id, hotkey)
        assert row["count"] == len(SPEC.scored_lead_h)
        return float(row["avg"])

    async def check_components(self, run_id: str, hotkey: str, share: float) -> None:
        """The metrics of a forecast whose error is `share` times as big as the weather, by hand."""
        async with self.database.acquire() as conn:
            found = [c for c in await results.components(conn, run_id) if c.hotkey == hotkey]
        assert len(found) == len(SPEC.fields()) * len(SPEC.scored_lead_h)
        for component in found:
            assert component.skill_clim == pytest.approx(1 - share**2, abs=1e-4)
            assert component.skill_ref == pytest.approx(1 - share**2 / 0.8**2, abs=1e-4)
            assert component.acc == pytest.approx(1 / math.sqrt(1 + share**2), abs=1e-4)

    async def rows(self, query: str, *args: Any) -> list[dict[str, Any]]:
        async with self.database.acquire() as conn:
            return [dict(row) for row in await conn.fetch(query, *args)]

    async def value(self, query: str, *args: Any) -> Any:
        async with self.database.acquire() as conn:
            return await conn.fetchval(query, *args)

    def cached(self, run: Run, miner: FormulaMiner) -> Path:
        """Where the engine keeps a forecast's chunks."""
        return self.settings.data_dir / "cache" / "forecasts" / run.run_id / miner.hotkey


def commit_of(run: Run, miner: FormulaMiner) -> bytes:
    request = ForecastRequest(
        run_id=run.run_id,
        netuid=NETUID,
        init_time=run.init_time,
        spec=run.spec,
        commit_deadline=run.commit_deadline,
        reveal_until=run.commit_deadline + timedelta(days=20),
    )
    stored = miner.store.accept(AcceptedRun(request=request, accepted_at=run.opened_at))
    miner.forecaster.submit(stored)
    assert stored.committed is not None
    return bytes.fromhex(stored.committed.digest)


@pytest_asyncio.fixture(name="world", scope="module", loop_scope="module")
async def settled_world(
    migrated_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("corridor")
    write_archive(folder / "archive", DAYS)
    signer = create_key_file(folder / "validator.json")
    async with contextlib.AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(new_database(migrated_server))
        chain = await stack.enter_async_context(simulated_subnet(dsn, signer.hotkey))
        database = await DatabasePool.connect(
            dsn, min_size=1, max_size=4, connect_timeout_s=10.0, command_timeout_s=30.0
        )
        stack.push_async_callback(database.close)
        settings = validator_settings(folder, dsn, folder / "validator.json")
        engine = await stack.enter_async_context(IOEngine(settings, local_workers=1))
        stop = asyncio.Event()
        serving = asyncio.create_task(engine.serve(stop))
        yield World(engine, settings, database, chain)
        stop.set()
        await asyncio.wait_for(serving, 30.0)
