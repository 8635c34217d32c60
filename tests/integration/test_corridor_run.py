"""Whole runs through a real IO-Engine with a worker, real miners over HTTP, a real database and the simulated chain."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from gaia.chain.simulated import SimulatedChain
from gaia.contracts.clock import SystemClock
from gaia.contracts.errors import Fault
from gaia.contracts.ids import Hotkey, run_id_for
from gaia.contracts.unit import ResultUnit, WorkUnit
from gaia.miner.conduct import Conduct
from gaia.miner.run_store import AcceptedRun, StoredRun
from gaia.protocol.forecast_messages import ForecastRequest
from gaia.protocol.keys import HotkeySigner, create_key_file
from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.files.archive import ARCHIVE_HEADER, SourceRole, archive_store
from gaia.tasks.defined_tasks.weather.files.store.flat_store import write_flat_store
from gaia.tasks.defined_tasks.weather.supply.catalogue import SourceRef, SourceSet
from gaia.tasks.defined_tasks.weather.validator.records import results
from gaia.tasks.defined_tasks.weather.validator.records.runs import (
    MinerState,
    Run,
    RunMiner,
    RunState,
    load_miners,
    load_run,
    record_commitment,
)
from gaia.tasks.defined_tasks.weather.validator.records.scores import load_combined
from gaia.tasks.defined_tasks.weather.validator.steps.draw_picture import picture_path
from gaia.tasks.defined_tasks.weather.validator.steps.lifecycle import Kind, run_job
from gaia.tasks.defined_tasks.weather.validator.views import VIEWS
from gaia.validator.app.io_engine import IOEngine, NotStarted
from gaia.validator.db.embedded import EmbeddedPostgres
from gaia.validator.db.pool import DatabasePool
from gaia.validator.db.queue import PostgresQueue
from gaia.validator.db.weight_sets import WeightsState, weights_state
from gaia.validator.leaderboard import leaderboard
from gaia.validator.utils.settings import Settings
from gaia.validator.weights import EmissionPolicy
from tests.support.small_world import (
    FIRST_INIT,
    NETUID,
    REFERENCE,
    SPEC,
    Field,
    FormulaMiner,
    OtherChunks,
    OtherManifest,
    Recipe,
    a_run,
    forecast_with_error,
    insert_run_at,
    mirrored,
    new_database,
    simulated_subnet,
    validator_settings,
    weather,
    write_archive,
)

pytestmark = [pytest.mark.database, pytest.mark.processes, pytest.mark.asyncio(loop_scope="module")]

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
                digest = _commit(run, miner)
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


def _commit(run: Run, miner: FormulaMiner) -> bytes:
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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(migrated_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
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


async def test_of_honest_miners_and_cheats_in_one_run_each_gets_what_it_deserves(world: World) -> None:
    run_id = run_id_for(NETUID, "weather", FIRST_INIT)
    gone = HotkeySigner.generate()
    async with world.miners(
        good=(GOOD, None),
        fair=(FAIR, None),
        copy=(FAIR, None),
        gfs=(REFERENCE, None),
        late=(_own_at_the_gate, None),
        wrong=(mirrored, None),
        swapper=(FAIR, OtherManifest()),
        chunks=(FAIR, OtherChunks()),
        never=(None, None),
    ) as miners:
        await world.chain.register(NETUID, gone.hotkey)
        await world.chain.announce_endpoint(NETUID, gone, CLOSED_PORT)
        await world.queue.put(run_job(Kind.OPEN_RUN, run_id))
        await _until_opened(world, run_id)
        assert await world.settled(run_id) is RunState.SCORED

        found, scores = await world.miners_of(run_id), await world.scores_of(run_id)
        name_of = {miner.hotkey: name for name, miner in miners.items()} | {gone.hotkey: "gone"}
        first, second = sorted(
            (found[miners[name].hotkey] for name in ("fair", "copy")), key=lambda m: (str(m.committed_at), m.uid)
        )
        codes = {name_of[hotkey]: miner.reason_code for hotkey, miner in found.items()}
        assert codes == {
            "good": None,
            name_of[first.hotkey]: None,
            name_of[second.hotkey]: "clone_of_miner",
            "gfs": "clone_of_reference",
            "late": "clone_of_reference",
            "wrong": "day1_gate_failed",
            "swapper": "commitment_mismatch",
            "chunks": "chunk_digest_mismatch",
            "never": "no_commitment",
            "gone": "miner_unreachable",
        }
        assert f"at +12 h the forecast is that of {first.hotkey}" in (second.reason or "")
        late = found[miners["late"].hotkey].reason or ""
        assert late.startswith("at +24 h the forecast is the operational reference; mean squared differences")
        assert "z500 0 (250)" in late
        compared = await world.rows("SELECT lead_h FROM clone_search WHERE run_id = $1 ORDER BY lead_h", run_id)
        assert [row["lead_h"] for row in compared] == [12, 24, 36]
        earners = {h: await world.lead_score_of(run_id, h) for h in (miners["good"].hotkey, first.hotkey)}
        assert scores == pytest.approx(dict.fromkeys(found, 0.0) | earners, rel=1e-6)
        assert earners[miners["good"].hotkey] > earners[first.hotkey] > 0.0
        await world.check_components(run_id, miners["good"].hotkey, 0.2)
        await world.check_components(run_id, first.hotkey, 0.5)
        await _check_weights(world, run_id, earners)
        asked = miners["never"].store.get(run_id)
        assert asked is not None
        request = asked.accepted.request
        assert request.reveal_until == request.commit_deadline + timedelta(days=20)  # a hindcast's days are long past
    await world.chain.deregister(NETUID, gone.hotkey)
    assert picture_path(world.settings.data_dir, run_id).stat().st_size > 1000


def _own_at_the_gate(field: FieldId, valid_time: datetime) -> Field:
    """A forecast of one's own at +12 h, where copies were once looked for alone, and the reference from there on."""
    recipe = FAIR_TOO if valid_time == FIRST_INIT + timedelta(hours=12) else REFERENCE
    return recipe(field, valid_time)


async def _until_opened(world: World, run_id: str) -> None:
    deadline = time.monotonic() + SETTLE_WITHIN_S
    while not await world.value("SELECT count(*) FROM run WHERE run_id = $1", run_id):
        assert time.monotonic() < deadline, "the run was not opened"
        await asyncio.sleep(0.05)


async def _check_weights(world: World, run_id: str, scores: Mapping[Hotkey, float]) -> None:
    """Only these earn, by the policy's power of their score, and the chain holds it."""
    async with world.database.acquire() as conn:
        assert await weights_state(conn, run_id) == WeightsState(set=True, read_back=True, alarm=None)
        rows = await leaderboard(conn, VIEWS, run_id)
    pay = {hotkey: score ** EmissionPolicy().sharpness for hotkey, score in scores.items()}
    for standing in rows:
        assert standing.emission_weight == pytest.approx(pay.get(standing.hotkey, 0.0) / sum(pay.values()), rel=1e-3)
        assert (standing.reason is None) == (standing.hotkey in pay)


async def test_a_chunk_spoilt_on_our_own_disk_is_fetched_anew_and_blames_nobody(world: World) -> None:
    run = a_run(1, sources=world.sources, state=RunState.COLLECTING)
    async with world.miners(good=(GOOD, None), fair=(FAIR, None)) as miners:
        good = miners["good"]
        request_chunks = _commit_sizes(run, good)
        for key, size_bytes in request_chunks.items():  # of the right size, so that only their digest tells
            path = world.cached(run, good) / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(size_bytes))
        await world.close_run(run, good, miners["fair"])

        assert await world.settled(run.run_id) is RunState.SCORED
        found, scores = await world.miners_of(run.run_id), await world.scores_of(run.run_id)
        assert (found[good.hotkey].state, found[good.hotkey].reason_code) == (MinerState.SCORED, None)
        assert scores[good.hotkey] == pytest.approx(await world.lead_score_of(run.run_id, good.hotkey), rel=1e-4)
        await world.check_components(run.run_id, good.hotkey, 0.2)


@pytest.mark.parametrize("kind", [Kind.COMBINE, Kind.PICTURE])
async def test_a_chunk_spoilt_after_it_was_scored_is_fetched_anew(world: World, kind: Kind) -> None:
    run = a_run({Kind.COMBINE: 6, Kind.PICTURE: 7}[kind], sources=world.sources, state=RunState.COLLECTING)
    async with world.miners(good=(GOOD, None), fair=(FAIR, None)) as miners:
        await world.close_run(run, *miners.values())
        assert await world.settled(run.run_id) is RunState.SCORED
        chunks = [path for path in world.cached(run, miners["good"]).glob("*/c/**/*") if path.is_file()]
        whole = {path: path.read_bytes() for path in chunks}
        for path, content in whole.items():
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        picture = picture_path(world.settings.data_dir, run.run_id)
        picture.unlink()
        await world.rows("DELETE FROM clone_search WHERE run_id = $1", run.run_id)
        await world.queue.put(run_job(kind, run.run_id, suffix=":again"))
        assert await world.settled(run.run_id) is RunState.SCORED

    if kind is Kind.PICTURE:
        assert picture.stat().st_size > 10_000
    else:
        searches = await world.rows("SELECT * FROM clone_search WHERE run_id = $1", run.run_id)
        assert [search["result"]["unreadable"] for search in searches] == [{}] * len(searches)
        assert searches
    assert any(path.read_bytes() == content for path, content in whole.items())


def _commit_sizes(run: Run, miner: FormulaMiner) -> dict[str, int]:
    """Sizes of the chunks that a miner will serve, from its own forecast of the run, made here in advance."""
    _commit(run, miner)
    stored = miner.store.get(run.run_id)
    assert stored is not None
    sizes = {key: (stored.forecast / key).stat().st_size for key in stored.chunk_keys}
    miner.store.forget(stored)
    return sizes


class GoneBad(OtherChunks):
    """Serves what it committed for the first lead, and something else for the rest."""

    def chunk(self, run: StoredRun, key: str) -> Path:
        return Conduct.chunk(self, run, key) if key.split("/c/")[1].startswith("0/") else super().chunk(run, key)


async def test_a_forecast_that_breaks_after_its_verification_counts_zero_and_holds_nobody_up(world: World) -> None:
    run = a_run(2, sources=world.sources, state=RunState.COLLECTING)
    async with world.miners(good=(GOOD, None), fair=(FAIR, None), bad=(FAIR, GoneBad())) as miners:
        await world.close_run(run, *miners.values())
        assert await world.settled(run.run_id) is RunState.SCORED
        bad, good = miners["bad"].hotkey, miners["good"].hotkey
        found = await world.miners_of(run.run_id)
        assert (found[bad].reason_code, found[bad].fault) == ("chunk_digest_mismatch", Fault.MINER)
        assert (await world.scores_of(run.run_id))[bad] == 0.0

        # Combined once more, now that neither our cache nor the miners have the chunks of two of the three:
        for name in ("bad", "fair"):
            await miners[name].stop()
            for chunk in world.cached(run, miners[name]).glob("*/c/**/*"):
                if chunk.is_file():
                    chunk.unlink()
        await world.rows("DELETE FROM clone_search")
        await world.queue.put(run_job(Kind.COMBINE, run.run_id, suffix=":again"))
        assert await world.settled(run.run_id) is RunState.SCORED
        scores = await world.scores_of(run.run_id)
        assert scores[bad] == 0.0
        assert scores[good] == pytest.approx(await world.lead_score_of(run.run_id, good), rel=1e-4)


async def test_a_source_that_has_not_delivered_is_waited_for_without_using_up_attempts(world: World) -> None:
    poor = world.folder / "poor-archive"
    poor.mkdir()
    (poor / ARCHIVE_HEADER).write_text("{}")
    init_time = FIRST_INIT + timedelta(days=3)
    warm = SPEC.fields()[0]
    for lead_h in SPEC.lead_h:
        valid_time = init_time + timedelta(hours=lead_h)
        write_flat_store(
            archive_store(poor, SourceRole.TRUTH, valid_time=valid_time),
            grid=SPEC.grid, valid_time=valid_time, fields=(warm,), data=weather(warm, valid_time)[None], source="",
        )  # fmt: skip
    spec = msgspec.structs.replace(SPEC, gate_lead_h=None)
    sources = SourceSet(truth=SourceRef(format="archive", path=str(poor)))
    run = a_run(3, spec=spec, sources=sources, state=RunState.COLLECTING)
    async with world.miners(good=(GOOD, None)) as miners:
        await world.close_run(run, miners["good"])
        assert await world.settled(run.run_id) is RunState.SCORING
        found = await world.miners_of(run.run_id)

    assert found[miners["good"].hotkey].state is MinerState.VERIFIED
    jobs = await world.rows(
        "SELECT attempt, state, last_error, run_at FROM job WHERE kind = 'weather.score_era5'"
        " AND payload ->> 'run_id' = $1",
        run.run_id,
    )
    assert [(job["attempt"], job["state"]) for job in jobs] == [(0, "ready")] * 2
    assert all(job["last_error"].startswith("missing_field") for job in jobs)
    assert all(timedelta(minutes=5) < job["run_at"] - datetime.now(UTC) < timedelta(minutes=11) for job in jobs)


# ---- dispatch_and_wait


async def dispatch(world: World, handler: str, payload: Mapping[str, Any]) -> ResultUnit:
    unit = WorkUnit(handler=handler, payload=payload)
    result = await world.engine.dispatch_and_wait(unit)
    assert (result.unit_id, result.handler) == (unit.unit_id, handler)
    return result


async def refusal(world: World, handler: str, payload: Mapping[str, Any]) -> tuple[str, str]:
    """Code and message of a unit that must fail."""
    result = await dispatch(world, handler, payload)
    assert result.error is not None
    assert result.value is None
    return result.error.code, result.error.message


async def test_units_that_cannot_be_resolved_are_refused_with_the_reason(world: World) -> None:
    run = a_run(4, sources=world.sources)
    ungated = a_run(5, spec=msgspec.structs.replace(SPEC, gate_lead_h=None), sources=world.sources)
    async with world.miners(good=(GOOD, None), fair=(FAIR, None)) as miners:
        neurons = [n for n in await world.chain.neurons(NETUID) if not n.validator_permit]
        async with world.database.transaction() as conn:
            for each in (run, ungated):
                await insert_run_at(conn, each, neurons)
        good, fair = miners["good"].hotkey, miners["fair"].hotkey
        await _freeze(world, run, good, verified=False)
        day1, era5 = "weather.score.day1", "weather.score.era5"

        unknown = await refusal(world, day1, {"run_id": "sn57-weather-20990101T00Z"})
        assert unknown[0] == "run_unknown"
        assert await refusal(world, day1, {"run_id": run.run_id}) == (
            "forecast_unknown",
            f"run {run.run_id} has 0 verified forecasts; name one by its hotkey in the unit",
        )
        unverified = await refusal(world, day1, {"run_id": run.run_id, "hotkey": good})
        assert unverified == ("forecast_unknown", f"the forecast of {good} in run {run.run_id} is not verified")
        unfrozen = await refusal(world, day1, {"run_id": run.run_id, "hotkey": fair})
        assert unfrozen == ("forecast_unknown", f"no forecast of {fair} is frozen in run {run.run_id}")

        for each in (run, ungated):
            await _freeze(world, each, fair, verified=True)
        for payload in ({}, {"lead_h": 12}):
            code, message = await refusal(world, era5, {"run_id": run.run_id, **payload})
            assert code == "not_scorable"
            assert "scores the leads [24, 36] h" in message
        no_gate = await refusal(world, day1, {"run_id": ungated.run_id})
        assert no_gate == ("not_scorable", f"run {ungated.run_id} has no day-1 gate")


async def test_dispatched_score_units_fetch_spoilt_chunks_anew_and_complete_their_run(world: World) -> None:
    run = a_run(8, sources=world.sources, state=RunState.COLLECTING)
    async with world.miners(good=(GOOD, None)) as miners:
        good = miners["good"]
        await world.close_run(run, good)
        assert await world.settled(run.run_id) is RunState.SCORED
        before = await world.scores_of(run.run_id)
        await _unscore(world, run)
        chunks = [path for path in world.cached(run, good).glob("*/c/**/*") if path.is_file()]
        assert len(chunks) >= len(run.spec.fields()) * (1 + len(run.spec.scored_lead_h))
        for path in chunks:
            path.write_bytes(bytes(path.stat().st_size))

        names = {"run_id": run.run_id, "hotkey": good.hotkey}
        results_of_units = [await dispatch(world, "weather.score.day1", names)]
        results_of_units += [
            await dispatch(world, "weather.score.era5", {**names, "lead_h": lead_h})
            for lead_h in run.spec.scored_lead_h
        ]
        assert [result.error for result in results_of_units] == [None] * (1 + len(run.spec.scored_lead_h))
        assert await world.settled(run.run_id) is RunState.SCORED
        assert await world.scores_of(run.run_id) == before


async def _unscore(world: World, run: Run) -> None:
    """Put a scored run back to where its forecasts have been verified and nothing has been scored."""
    async with world.database.transaction() as conn:
        for table in ("score", "gate_score", "run_score"):
            await conn.execute(f"DELETE FROM {table} WHERE run_id = $1", run.run_id)  # noqa: S608  constant names
        await conn.execute("DELETE FROM job WHERE kind = $1 AND payload ->> 'run_id' = $2", Kind.COMBINE, run.run_id)
        await conn.execute("UPDATE run SET state = $2 WHERE run_id = $1", run.run_id, RunState.SCORING)
        await conn.execute("UPDATE run_miner SET state = $2 WHERE run_id = $1", run.run_id, MinerState.VERIFIED)


async def _freeze(world: World, run: Run, hotkey: Hotkey, *, verified: bool) -> None:
    async with world.database.acquire() as conn:
        await conn.execute(
            """INSERT INTO forecast
                 (run_id, hotkey, manifest, manifest_digest, nonce, frozen_at, verified_at, store_path)
               VALUES ($1, $2, '{}', $3, $3, now(), CASE WHEN $4 THEN now() END, '/nowhere')""",
            run.run_id, hotkey, bytes(32), verified,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"run_id": 5}, "Expected `str`, got `int` - at `$.run_id`"),
        ({"hotkey": "x"}, "missing required field `run_id`"),
        ({"run_id": "x", "leed_h": 24}, "unknown field `leed_h`"),
    ],
)
async def test_a_payload_of_the_wrong_shape_is_refused(world: World, payload: Mapping[str, Any], said: str) -> None:
    code, message = await refusal(world, "weather.score.day1", payload)
    assert code == "bad_unit"
    assert said in message


@pytest.mark.parametrize("handler", ["weather.no.such", "os.system"])
async def test_a_handler_that_is_not_registered_is_refused(world: World, handler: str) -> None:
    code, message = await refusal(world, handler, {})
    assert "handler" in code
    assert handler in message


async def test_truth_that_is_not_published_is_an_error_to_be_tried_again_later(world: World) -> None:
    start = (datetime.now(UTC) - timedelta(hours=24)).replace(minute=0, second=0, microsecond=0)
    run = a_run(sources=world.sources, init_time=start)
    async with world.miners(good=(GOOD, None)) as miners:
        neurons = [n for n in await world.chain.neurons(NETUID) if not n.validator_permit]
        async with world.database.transaction() as conn:
            await insert_run_at(conn, run, neurons)
        await _freeze(world, run, miners["good"].hotkey, verified=True)
        result = await dispatch(world, "weather.score.era5", {"run_id": run.run_id, "lead_h": 24})
    assert result.error is not None
    assert (result.error.code, result.error.fault, result.error.retryable) == ("not_yet", Fault.SOURCE, True)


async def test_a_unit_that_names_no_run_is_computed_as_it_is(world: World) -> None:
    """A handler without effects on a run: nothing is resolved and nothing committed."""
    code, message = await refusal(world, "weather.hash.compute", {})
    assert code != "bad_unit"
    assert message


async def test_an_engine_that_was_not_started_says_so(world: World) -> None:
    engine = IOEngine(world.settings, clock=SystemClock())
    with pytest.raises(NotStarted, match="has not been started"):
        await engine.dispatch_and_wait(WorkUnit(handler="weather.verify", payload={}))
    with pytest.raises(NotStarted):
        engine.snapshot()
    await engine.close()


async def test_the_engine_counts_what_it_does(world: World) -> None:
    snapshot = world.engine.snapshot()
    assert snapshot.units_done > 0
    assert set(snapshot.queue_depths.values()) == {0}
