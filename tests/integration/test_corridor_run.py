"""Whole runs through a real IO-Engine with a worker, real miners over HTTP, a real database and the simulated chain."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from gaia.contracts.errors import Fault
from gaia.contracts.ids import Hotkey, run_id_for
from gaia.miner.conduct import Conduct
from gaia.miner.run_store import StoredRun
from gaia.protocol.keys import HotkeySigner
from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.files.archive import ARCHIVE_HEADER, SourceRole, archive_store
from gaia.tasks.defined_tasks.weather.files.store.flat_store import write_flat_store
from gaia.tasks.defined_tasks.weather.supply.catalogue import SourceRef, SourceSet
from gaia.tasks.defined_tasks.weather.validator.records.runs import (
    MinerState,
    Run,
    RunState,
)
from gaia.tasks.defined_tasks.weather.validator.steps.draw_picture import picture_path
from gaia.tasks.defined_tasks.weather.validator.steps.lifecycle import Kind, run_job
from gaia.tasks.defined_tasks.weather.validator.views import VIEWS
from gaia.validator.db.weight_sets import WeightsState, weights_state
from gaia.validator.leaderboard import leaderboard
from gaia.validator.weights import EmissionPolicy
from tests.integration.corridor_world import (
    CLOSED_PORT,
    FAIR,
    FAIR_TOO,
    GOOD,
    SETTLE_WITHIN_S,
    World,
    commit_of,
    settled_world,  # noqa: F401  the fixture `world`
)
from tests.support.small_world import (
    FIRST_INIT,
    NETUID,
    REFERENCE,
    SPEC,
    Field,
    FormulaMiner,
    OtherChunks,
    OtherManifest,
    a_run,
    mirrored,
    weather,
)

pytestmark = [pytest.mark.database, pytest.mark.processes, pytest.mark.asyncio(loop_scope="module")]


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
    commit_of(run, miner)
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
