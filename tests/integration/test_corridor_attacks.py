"""Steps of a run under attack and in adversity: what one miner says, or our own trouble, must not reach the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from gaia.contracts.errors import Fault
from gaia.contracts.ids import Hotkey, RunId
from gaia.contracts.job import Later
from gaia.contracts.ports import MinerAddress, RefusedByMiner
from gaia.protocol.forecast_messages import CommitmentMessage, RequestAccepted, commitment_path
from gaia.protocol.manifest import ChunkDigest, Manifest, canonical_bytes
from gaia.protocol.messages import custom_serializer, decode_answer
from gaia.tasks.defined_tasks.base import SET_WEIGHTS
from gaia.tasks.defined_tasks.weather.supply.catalogue import SourceSet
from gaia.tasks.defined_tasks.weather.validator.handlers.score_payloads import CloneFound, ClonesResult
from gaia.tasks.defined_tasks.weather.validator.records.clone_searches import put_clone_search
from gaia.tasks.defined_tasks.weather.validator.records.forecasts import Forecast, freeze, mark_verified
from gaia.tasks.defined_tasks.weather.validator.records.runs import (
    MinerState,
    Run,
    RunMiner,
    RunState,
    load_miners,
)
from gaia.tasks.defined_tasks.weather.validator.steps.compare_forecasts import Comparison, put_out_found
from gaia.tasks.defined_tasks.weather.validator.steps.lifecycle import Kind, miner_job, run_job
from gaia.tasks.defined_tasks.weather.validator.weather_context import NoEndpoint
from gaia.validator.db.embedded import EmbeddedPostgres
from tests.support.small_world import SPEC, a_run
from tests.support.step_desk import StepDesk, neuron, step_desk

pytestmark = pytest.mark.database

A, B, C = (Hotkey(name) for name in ("miner-a", "miner-b", "miner-c"))
UNGATED = msgspec.structs.replace(SPEC, gate_lead_h=None)
Commit = Callable[[MinerAddress], bytes | None]


@pytest.fixture
async def desk(migrated_server: EmbeddedPostgres, tmp_path: Path) -> AsyncIterator[StepDesk]:
    async with step_desk(migrated_server, tmp_path) as desk:
        yield desk


async def miners_in(desk: StepDesk, run: Run) -> dict[str, RunMiner]:
    async with desk.context.database.acquire() as conn:
        return {miner.hotkey: miner for miner in await load_miners(conn, run.run_id)}


class ScriptedMiners:
    """A network in which every miner acknowledges, and `commit` says what each answers to a poll."""

    def __init__(self, commit: Commit) -> None:
        self._commit = commit

    async def ask(
        self, miner: MinerAddress, method: str, path: str, body: bytes = b"", *, expected: int = 200, max_bytes: int
    ) -> bytes:
        commitment = self._commit(miner)
        if method == "POST":
            return custom_serializer(RequestAccepted(run_id=RunId("any")))
        if commitment is None:
            raise RefusedByMiner(404, "no_commitment: not yet")
        run_id = RunId(path.split("/")[3])
        assert path == commitment_path(run_id)
        message = CommitmentMessage(run_id=run_id, hotkey=miner.hotkey, digest=commitment.hex())
        return custom_serializer(message)

    async def fetch(self, miner: MinerAddress, path: str, destination: Path, size_bytes: int) -> None:
        raise AssertionError("nothing is fetched here")


async def collecting(desk: StepDesk, *names: str, for_: timedelta = timedelta(seconds=3)) -> Run:
    """A run whose commitments are being collected."""
    run = a_run(sources=desk.sources, state=RunState.COLLECTING, deadline_in=for_, polled_before_deadline=None)
    await desk.insert(run, [neuron(n, uid, endpoint=f"http://127.0.0.1:{uid}") for uid, n in enumerate(names, 1)])
    return run


async def collected(desk: StepDesk, run: Run, commit: Commit) -> dict[str, RunMiner]:
    """Do the collection once, up to the deadline."""
    context = msgspec.structs.replace(desk.context, miners=ScriptedMiners(commit))
    job = await desk.claim(run_job(Kind.COLLECT, run.run_id))
    with pytest.raises(Later):
        await asyncio.wait_for(desk.steps[Kind.COLLECT](job, context), 20.0)
    return await miners_in(desk, run)


# ---- what one miner says


async def test_an_answer_full_of_control_characters_stops_nobody_else_s_commitment(desk: StepDesk) -> None:
    """PostgreSQL's text takes no NUL: once noted raw, one such answer ended the collection for everybody."""
    run = await collecting(desk, A, B)
    answers = iter([None, None])

    def commit(miner: MinerAddress) -> bytes | None:
        if miner.hotkey == A:
            decode_answer(b'{"\\u0000\\u001b[2Jfoo":1}', CommitmentMessage)
        return next(answers, bytes(32))

    found = await collected(desk, run, commit)

    assert (found[B].state, found[A].state) == (MinerState.COMMITTED, MinerState.LISTED)
    assert (found[A].reason_code, found[A].fault) == ("malformed_answer", Fault.MINER)
    assert "unknown field" in (found[A].reason or "")
    assert (found[A].reason or "").isprintable()


async def test_an_error_that_nobody_thought_of_stops_nobody_else_s_commitment(desk: StepDesk) -> None:
    run = await collecting(desk, A, B)
    answers = iter([None, None])

    def commit(miner: MinerAddress) -> bytes | None:
        if miner.hotkey == A:
            raise RuntimeError("a mistake of ours that only this miner's answers bring out")
        return next(answers, bytes(32))

    assert (await collected(desk, run, commit))[B].state is MinerState.COMMITTED


async def test_an_error_that_nobody_thought_of_leaves_the_others_asked(desk: StepDesk) -> None:
    run = await collecting(desk, A, B, for_=timedelta(hours=1))

    def commit(miner: MinerAddress) -> bytes | None:
        if miner.hotkey == A:
            raise RuntimeError("a mistake of ours that only this miner's answers bring out")
        return None

    context = msgspec.structs.replace(desk.context, miners=ScriptedMiners(commit))
    job = await desk.claim(run_job(Kind.REQUEST, run.run_id))
    with pytest.raises(Later, match="1 miners have not acknowledged"):
        await desk.steps[Kind.REQUEST](job, context)
    found = await miners_in(desk, run)
    assert (found[A].state, found[B].state) == (MinerState.LISTED, MinerState.ACKNOWLEDGED)


# ---- what has died, and what must not wait


async def released(desk: StepDesk) -> int:
    """Let the schedule look for what has died, and do what it wants."""
    await desk.wired.queue.put(*await desk.wired.tasks[0].due_jobs(desk.context))
    jobs = await desk.wired.queue.claim([Kind.RELEASE], 16)
    for job in jobs:
        await desk.steps[Kind.RELEASE](job, desk.context)
    return len(jobs)


async def test_a_job_that_died_with_its_process_holds_no_run_up_and_costs_nobody_a_zero(desk: StepDesk) -> None:
    run = a_run(spec=UNGATED, sources=desk.sources)
    await desk.insert(run, [neuron(A, 1), neuron(B, 2)])
    await desk.score(run, A, {24: 0.5, 36: 0.5})
    await desk.score(run, B, {24: 0.5})
    job = await desk.claim(miner_job(Kind.SCORE_ERA5, run.run_id, B, lead_h=36))
    await desk.wired.queue.bury(job, "its worker validator-x vanished")

    assert await released(desk) == 1
    assert await released(desk) == 0

    found = await miners_in(desk, run)
    assert (found[B].state, found[B].reason_code, found[B].fault) == (MinerState.FAILED, "job_died", Fault.VALIDATOR)
    assert found[A].state is MinerState.SCORED
    assert f"{Kind.COMBINE}:{run.run_id}:2" in await desk.waiting_jobs()


async def test_a_collection_that_died_makes_its_run_void(desk: StepDesk) -> None:
    run = await collecting(desk, A)
    await desk.wired.queue.bury(await desk.claim(run_job(Kind.COLLECT, run.run_id)), "no reason")

    assert await released(desk) == 1

    (row,) = await desk.fetch("SELECT state, void_reason FROM run")
    assert row["state"] == "void"
    assert "no reason" in row["void_reason"]


async def test_what_has_a_deadline_goes_before_a_backlog_of_scoring(desk: StepDesk) -> None:
    run = await collecting(desk, A)
    await desk.wired.queue.put(*(miner_job(Kind.SCORE_ERA5, run.run_id, A, lead_h=lead_h) for lead_h in (24, 36)))
    await desk.wired.queue.put(miner_job(Kind.FREEZE, run.run_id, A), run_job(Kind.COLLECT, run.run_id))
    claimed = await desk.wired.queue.claim([Kind.SCORE_ERA5, Kind.FREEZE, Kind.COLLECT], 2)
    assert [job.kind for job in claimed] == [Kind.COLLECT, Kind.FREEZE]


# ---- the deadline


async def test_who_was_never_asked_is_not_late(desk: StepDesk) -> None:
    run = a_run(sources=desk.sources, state=RunState.COLLECTING)
    await desk.insert(run, [neuron(A, 1)])
    await desk.do(run_job(Kind.COLLECT, run.run_id))
    found = (await miners_in(desk, run))[A]
    assert (found.state, found.reason_code, found.fault) == (MinerState.FAILED, "not_asked", Fault.VALIDATOR)


async def test_who_was_left_less_than_half_the_window_is_not_late(desk: StepDesk) -> None:
    """A validator that was down at 18:05 opens its run when it is back; the deadline stays the subnet's."""
    run = a_run(sources=desk.sources, state=RunState.COLLECTING)
    run = msgspec.structs.replace(run, opened_at=run.commit_deadline - timedelta(seconds=2))  # of a window of 6 s
    run = msgspec.structs.replace(run, polled_at=run.commit_deadline)
    await desk.insert(run, [neuron(A, 1)])
    await desk.execute("UPDATE run_miner SET state = 'acknowledged'")
    await desk.do(run_job(Kind.COLLECT, run.run_id))
    found = (await miners_in(desk, run))[A]
    assert (found.state, found.reason_code, found.fault) == (MinerState.FAILED, "asked_too_late", Fault.VALIDATOR)


# ---- evading the comparison


def a_manifest(run: Run) -> bytes:
    chunk = ChunkDigest(size_bytes=100, blake3="00" * 32)
    return canonical_bytes(
        Manifest(
            run_id=run.run_id,
            hotkey=A,
            init_time=run.init_time,
            spec_digest=run.spec.digest(),
            chunks={key: chunk for key, _, _ in run.spec.chunks()},
        )
    )


async def test_who_withholds_the_chunks_that_copies_are_found_by_does_not_escape(
    desk: StepDesk, tmp_path: Path
) -> None:
    """Our cache has dropped them, scores of the miner are still to come, and it serves everything but these."""
    init_time = (datetime.now(UTC) - timedelta(hours=24 + 120 + 1)).replace(minute=0, second=0, microsecond=0)
    sources = SourceSet(truth=desk.sources.truth, reference=desk.sources.truth)
    run = a_run(sources=sources, init_time=init_time)  # +24 h is due, +36 h is not
    await desk.insert(run, [neuron(A, 1), neuron(B, 2), neuron(C, 3)])
    await desk.fail(run, B, code="day1_gate_failed")
    await desk.fail(run, C, fault="validator", code="chunk_not_stored")
    await desk.score(run, A, {24: 0.9})
    forecast = Forecast(
        run_id=run.run_id, hotkey=A, manifest=a_manifest(run), manifest_digest=bytes(32), nonce=bytes(32),
        frozen_at=run.commit_deadline, verified_at=None, store_path=str(tmp_path / "chunks"),
    )  # fmt: skip
    async with desk.context.database.acquire() as conn:
        await freeze(conn, forecast)
        await mark_verified(conn, run.run_id, A, run.commit_deadline)
    job = await desk.claim(run_job(Kind.COMBINE, run.run_id))

    with pytest.raises(NoEndpoint):
        await desk.steps[Kind.COMBINE](job, desk.context)
    await desk.steps[Kind.COMBINE](msgspec.structs.replace(job, attempt=9), desk.context)

    found = (await miners_in(desk, run))[A]
    assert (found.state, found.reason_code, found.fault) == (MinerState.FAILED, "no_endpoint", Fault.MINER)


async def test_a_lead_is_searched_for_copies_once_and_not_before_it_is_scored(desk: StepDesk) -> None:
    """A miner without an address cannot be asked for any chunk: the combination is held up if it needs one."""
    init_time = (datetime.now(UTC) - timedelta(hours=36 + 120 + 1)).replace(minute=0, second=0, microsecond=0)
    run = a_run(sources=SourceSet(truth=desk.sources.truth, reference=desk.sources.truth), init_time=init_time)
    await desk.insert(run, [neuron(A, 1)])
    await desk.score(run, A, {24: 0.9})  # +36 h is due as well, and not scored yet
    searched = [
        ClonesResult(
            lead_h=lead_h, clones=(), unreadable={}, uncompared=0, not_applicable=None, policy_digest=run.policy_digest
        )
        for lead_h in (12, 24)
    ]
    async with desk.context.database.acquire() as conn:
        for result in searched:
            await put_clone_search(conn, run.run_id, result)

    await desk.do(run_job(Kind.COMBINE, run.run_id))

    assert (await miners_in(desk, run))[A].state is MinerState.VERIFIED


async def test_of_two_searches_of_a_lead_at_once_the_first_one_written_decides(desk: StepDesk) -> None:
    run = a_run(sources=desk.sources)
    await desk.insert(run, [neuron(A, 1), neuron(B, 2)])
    first, second = (
        ClonesResult(
            lead_h=12,
            clones=(CloneFound(hotkey=copy, original=own, mse={"2t": 0.0}, threshold={"2t": 0.04}),),
            unreadable={},
            uncompared=0,
            not_applicable=None,
            policy_digest=run.policy_digest,
        )
        for copy, own in ((A, B), (B, A))
    )
    for result in (first, second):
        async with desk.context.database.acquire() as conn:
            await put_out_found(conn, run, Comparison(results=[result]))

    found = await miners_in(desk, run)
    assert (found[A].state, found[A].reason_code) == (MinerState.FAILED, "clone_of_miner")
    assert found[B].state is not MinerState.FAILED


# ---- several runs at once


async def test_a_late_lead_of_an_older_run_does_not_set_weights_that_know_no_newer_miners(desk: StepDesk) -> None:
    older, newer = (a_run(day, spec=UNGATED, sources=desk.sources) for day in (0, 1))
    await desk.insert(older, [neuron(A, 1)])
    await desk.insert(newer, [neuron(A, 1), neuron(B, 2)])
    for run, hotkey in ((older, A), (newer, A), (newer, B)):
        await desk.score(run, hotkey, {24: 0.5, 36: 0.5})
    await desk.do(run_job(Kind.COMBINE, newer.run_id))
    assert sum(SET_WEIGHTS in key for key in await desk.waiting_jobs()) == 1

    await desk.do(run_job(Kind.COMBINE, older.run_id))

    assert sum(SET_WEIGHTS in key for key in await desk.waiting_jobs()) == 1
    (again,) = await desk.wired.queue.claim([Kind.COMBINE], 4)
    assert again.payload["run_id"] == newer.run_id
    await desk.steps[Kind.COMBINE](again, desk.context)
    weights = [key for key in await desk.waiting_jobs() if SET_WEIGHTS in key]
    assert len(weights) == 2
    assert all(newer.run_id in key for key in weights)
