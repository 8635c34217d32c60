"""Single steps of a run on a real database: who is asked, who is late, what counts, when a run is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from gaia.contracts.clock import WorldClock
from gaia.contracts.errors import Fault
from gaia.contracts.ids import Hotkey, run_id_for
from gaia.contracts.job import Later
from gaia.protocol.run_spec import RunSpec
from gaia.tasks.defined_tasks.views import RunUnknown
from gaia.tasks.defined_tasks.weather.settings import WeatherSettings
from gaia.tasks.defined_tasks.weather.supply.catalogue import SourceRef, SourceSet
from gaia.tasks.defined_tasks.weather.validator.field_cache import FieldCache
from gaia.tasks.defined_tasks.weather.validator.records import results
from gaia.tasks.defined_tasks.weather.validator.records.forecasts import (
    Forecast,
    ForecastUnknown,
    freeze,
    mark_verified,
)
from gaia.tasks.defined_tasks.weather.validator.records.runs import (
    MinerState,
    Run,
    RunState,
    load_miner,
    load_miners,
    load_run,
    record_commitment,
)
from gaia.tasks.defined_tasks.weather.validator.records.scores import load_combined
from gaia.tasks.defined_tasks.weather.validator.steps.lifecycle import Kind, miner_job, run_job
from gaia.tasks.defined_tasks.weather.validator.steps.open_run import due_run
from gaia.tasks.defined_tasks.weather.validator.steps.run_completion import combine_if_complete
from gaia.tasks.defined_tasks.weather.validator.views import VIEWS
from gaia.tasks.defined_tasks.weather.validator.weather_context import UnsafeName, WeatherContext
from gaia.validator.db.embedded import EmbeddedPostgres
from gaia.validator.leaderboard import leaderboard
from tests.support.clock import ManualClock
from tests.support.small_world import FIRST_INIT, NETUID, SPEC, a_run
from tests.support.step_desk import StepDesk, neuron, step_desk

pytestmark = pytest.mark.database

UNGATED = msgspec.structs.replace(SPEC, gate_lead_h=None)
ONE_LEAD = msgspec.structs.replace(UNGATED, scored_lead_h=(24,))
A, B, C = (Hotkey(name) for name in ("miner-a", "miner-b", "miner-c"))


@pytest.fixture
async def desk(migrated_server: EmbeddedPostgres, tmp_path: Path) -> AsyncIterator[StepDesk]:
    async with step_desk(migrated_server, tmp_path) as desk:
        yield desk


async def inserted(desk: StepDesk, run: Run, *names: str, registered_block: int = 1) -> Run:
    """A run with these miners in the database."""
    await desk.insert(run, [neuron(n, uid, registered_block=registered_block) for uid, n in enumerate(names, start=1)])
    return run


async def combined(desk: StepDesk, run: Run) -> dict[str, float | None]:
    """Combine a run, by the job that waits for it or a new one; hotkey -> score."""
    if not any(key.startswith(Kind.COMBINE) for key in await desk.waiting_jobs()):
        await desk.wired.queue.put(run_job(Kind.COMBINE, run.run_id, suffix=":test"))
    (job,) = await desk.wired.queue.claim([Kind.COMBINE], 1)
    await desk.steps[Kind.COMBINE](job, desk.context)
    async with desk.context.database.acquire() as conn:
        return {score.hotkey: score.score for score in await load_combined(conn, run.run_id)}


async def state_of(desk: StepDesk, run: Run) -> RunState:
    async with desk.context.database.acquire() as conn:
        return (await load_run(conn, run.run_id)).state


# ---- opening


async def test_a_run_asks_the_miners_and_neither_validators_nor_itself(desk: StepDesk) -> None:
    await desk.chain.register(NETUID, A)
    await desk.chain.register(NETUID, B, stake_tao=5_000.0, validator_permit=True)
    run_id = run_id_for(NETUID, "weather", FIRST_INIT)

    result = await desk.do(run_job(Kind.OPEN_RUN, run_id))

    assert (result.event, result.detail["miners"]) == ("run_opened", 1)
    async with desk.context.database.acquire() as conn:
        assert [m.hotkey for m in await load_miners(conn, run_id)] == [A]
        run = await load_run(conn, run_id)
    assert run.commit_deadline - run.opened_at == pytest.approx(timedelta(seconds=6.0), abs=timedelta(seconds=1))
    assert run.reveal_deadline == run.commit_deadline + timedelta(seconds=60)
    assert await desk.waiting_jobs() == [f"{kind}:{run_id}" for kind in (Kind.COLLECT, Kind.REQUEST)]


async def test_opening_a_run_again_changes_nothing(desk: StepDesk) -> None:
    await desk.chain.register(NETUID, A)
    run_id = run_id_for(NETUID, "weather", FIRST_INIT)
    await desk.do(run_job(Kind.OPEN_RUN, run_id))
    before = await desk.fetch("SELECT * FROM run")
    await desk.chain.register(NETUID, B)

    await desk.do(run_job(Kind.OPEN_RUN, run_id, suffix=":again"))

    assert await desk.fetch("SELECT * FROM run") == before
    assert [row["hotkey"] for row in await desk.fetch("SELECT hotkey FROM run_miner")] == [A]
    assert len(await desk.waiting_jobs()) == 2


async def test_a_daily_run_has_one_deadline_for_all_validators_however_late_it_is_opened(
    migrated_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    async with step_desk(migrated_server, tmp_path, schedule="daily", commit_window_s=7200.0) as desk:
        init_time = datetime(2026, 3, 4, 12, tzinfo=UTC)
        await desk.do(run_job(Kind.OPEN_RUN, run_id_for(NETUID, "weather", init_time)))
        async with desk.context.database.acquire() as conn:
            run = await load_run(conn, run_id_for(NETUID, "weather", init_time))
    assert run.commit_deadline == datetime(2026, 3, 4, 20, 5, tzinfo=UTC)


WEATHER_SETTINGS = WeatherSettings(
    spec=SPEC,
    sources=SourceSet(truth=SourceRef(format="archive", path="/nowhere")),
    commit_window=timedelta(hours=2),
    reveal_window=timedelta(hours=1),
)


def test_a_daily_run_is_due_from_its_opening_time_to_midnight() -> None:
    opening = datetime(2026, 3, 4, 18, 5, tzinfo=UTC)
    assert due_run(NETUID, opening - timedelta(seconds=1)) is None
    for instant in (opening, datetime(2026, 3, 4, 23, 59, 59, tzinfo=UTC)):
        job = due_run(NETUID, instant)
        assert job is not None
        assert job.payload == {"run_id": "sn57-weather-20260304T12Z"}
    assert due_run(NETUID, datetime(2026, 3, 5, tzinfo=UTC)) is None


async def test_where_runs_are_opened_by_hand_none_is_ever_due(desk: StepDesk) -> None:
    due = ManualClock(datetime(2026, 3, 4, 18, 5, tzinfo=UTC))
    opening = msgspec.structs.replace(desk.context, world=WorldClock(due))
    (task,) = desk.wired.tasks
    assert await task.due_jobs(opening) == []
    (job,) = await task.due_jobs(msgspec.structs.replace(opening, runs_by_hand=False))
    assert job.kind == Kind.OPEN_RUN


# ---- asking


async def test_who_cannot_be_asked_is_noted_and_asked_again(desk: StepDesk) -> None:
    run = await inserted(
        desk, a_run(sources=desk.sources, state=RunState.COLLECTING, deadline_in=timedelta(hours=1)), A
    )

    with pytest.raises(Later, match="1 miners have not acknowledged"):
        await desk.do(run_job(Kind.REQUEST, run.run_id))

    async with desk.context.database.acquire() as conn:
        miner = await load_miner(conn, run.run_id, A)
    assert (miner.state, miner.reason_code, miner.fault) == (MinerState.LISTED, "no_endpoint", Fault.MINER)


async def test_after_the_deadline_nobody_is_asked_any_more(desk: StepDesk) -> None:
    run = await inserted(desk, a_run(sources=desk.sources, state=RunState.COLLECTING), A)
    result = await desk.do(run_job(Kind.REQUEST, run.run_id))
    assert result.event == "forecasts_requested"
    assert await desk.waiting_jobs() == []


# ---- the deadline


async def closed(desk: StepDesk, run: Run) -> dict[str, tuple[str, str | None, Fault | None]]:
    """Do the collection after the deadline; hotkey -> (state, code, fault)."""
    await desk.do(run_job(Kind.COLLECT, run.run_id))
    async with desk.context.database.acquire() as conn:
        return {m.hotkey: (m.state, m.reason_code, m.fault) for m in await load_miners(conn, run.run_id)}


async def test_at_the_deadline_the_committed_are_frozen_and_the_others_are_out_with_their_reason(
    desk: StepDesk,
) -> None:
    run = await inserted(desk, a_run(sources=desk.sources, state=RunState.COLLECTING), A, B, C)
    async with desk.context.database.acquire() as conn:
        assert await record_commitment(conn, run.run_id, A, bytes(32), run.commit_deadline - timedelta(seconds=3))
    await desk.execute(
        "UPDATE run_miner SET reason_code = 'miner_timed_out', reason = 'too slow', fault = 'miner' WHERE hotkey = $1",
        C,
    )
    await desk.execute("UPDATE run_miner SET state = 'acknowledged' WHERE hotkey = $1", B)

    assert await closed(desk, run) == {
        A: ("committed", None, None),
        B: ("failed", "no_commitment", Fault.MINER),
        C: ("failed", "miner_timed_out", Fault.MINER),
    }
    assert await desk.waiting_jobs() == [f"{Kind.FREEZE}:{run.run_id}:{A}"]
    assert await state_of(desk, run) is RunState.SCORING
    (row,) = await desk.fetch("SELECT reason FROM run_miner WHERE hotkey = $1", C)
    assert row["reason"] == f"no commitment by {run.commit_deadline:%Y-%m-%d %H:%M:%S} UTC: too slow"


@pytest.mark.parametrize("last_asked", [None, timedelta(seconds=15)])
async def test_a_validator_that_was_away_before_the_deadline_blames_nobody(
    desk: StepDesk, last_asked: timedelta | None
) -> None:
    run = a_run(spec=ONE_LEAD, sources=desk.sources, state=RunState.COLLECTING, polled_before_deadline=last_asked)
    await inserted(desk, run, A, B)

    assert await closed(desk, run) == dict.fromkeys((A, B), ("failed", "commitment_unknown", Fault.VALIDATOR))
    # Nobody is left to wait for: the run is combined. It is not void, nobody has a zero, and it ends.
    (key,) = await desk.waiting_jobs()
    assert key == f"{Kind.COMBINE}:{run.run_id}:1"
    assert await combined(desk, run) == {}
    assert await state_of(desk, run) is RunState.SCORED
    async with desk.context.database.acquire() as conn:
        rows = await leaderboard(conn, VIEWS, run.run_id)
    assert [(s.score, s.reason_code) for s in rows] == [(None, "commitment_unknown")] * 2


async def test_being_away_for_a_short_while_excuses_nobody(desk: StepDesk) -> None:
    run = a_run(sources=desk.sources, state=RunState.COLLECTING, polled_before_deadline=timedelta(seconds=5))
    await inserted(desk, run, A)
    await desk.execute("UPDATE run_miner SET state = 'acknowledged'")
    assert await closed(desk, run) == {A: ("failed", "no_commitment", Fault.MINER)}


async def test_a_second_commitment_and_one_of_a_miner_that_is_out_are_ignored(desk: StepDesk) -> None:
    run = await inserted(desk, a_run(sources=desk.sources, state=RunState.COLLECTING), A, B)
    await desk.fail(run, B)
    async with desk.context.database.acquire() as conn:
        assert await record_commitment(conn, run.run_id, A, bytes([1] * 32), run.opened_at)
        assert not await record_commitment(conn, run.run_id, A, bytes([2] * 32), run.opened_at)
        assert not await record_commitment(conn, run.run_id, B, bytes([3] * 32), run.opened_at)
        assert (await load_miner(conn, run.run_id, A)).commitment == bytes([1] * 32)


# ---- failures of one miner


async def test_a_fault_of_ours_costs_attempts_first_and_then_makes_the_score_unknown(desk: StepDesk) -> None:
    run = a_run(spec=UNGATED, sources=desk.sources)
    await inserted(desk, run, A, B)
    await desk.score(run, B, {24: 0.5, 36: 0.5})
    new = msgspec.structs.replace(miner_job(Kind.SCORE_ERA5, run.run_id, A, lead_h=24), max_attempts=2)
    job = await desk.claim(new)
    step = desk.steps[Kind.SCORE_ERA5]

    with pytest.raises(ForecastUnknown, match="no forecast of miner-a is frozen"):
        await step(job, desk.context)
    result = await step(msgspec.structs.replace(job, attempt=2), desk.context)

    assert (result.event, result.detail["fault"]) == ("miner_failed", Fault.VALIDATOR)
    async with desk.context.database.acquire() as conn:
        miner = await load_miner(conn, run.run_id, A)
    assert (miner.state, miner.fault) == (MinerState.FAILED, Fault.VALIDATOR)
    assert await desk.waiting_jobs() == [f"{Kind.COMBINE}:{run.run_id}:2"]
    assert await combined(desk, run) == {B: 0.5}


async def test_a_name_that_is_no_address_never_becomes_a_path(desk: StepDesk) -> None:
    weather = weather_of(desk)
    with pytest.raises(UnsafeName, match="is not an ss58 address"):
        weather.forecast_path("sn57-weather-20170101T00Z", "../../etc")


async def test_unknown_runs_and_miners_are_named(desk: StepDesk) -> None:
    run = await inserted(desk, a_run(sources=desk.sources), A)
    async with desk.context.database.acquire() as conn:
        with pytest.raises(RunUnknown, match="there is no run 'sn57-weather-20990101T00Z'"):
            await load_run(conn, "sn57-weather-20990101T00Z")
        with pytest.raises(RunUnknown, match="has no miner 'miner-b'"):
            await load_miner(conn, run.run_id, B)


# ---- what is not published yet


def half_due(desk: StepDesk, spec: RunSpec = UNGATED) -> Run:
    """A run of now, of which the truth of +24 h has been published (valid time + 120 h) and that of +36 h not."""
    init_time = (datetime.now(UTC) - timedelta(hours=24 + 120 + 1)).replace(minute=0, second=0, microsecond=0)
    return a_run(spec=spec, sources=desk.sources, init_time=init_time)


async def test_truth_that_is_not_published_is_waited_for(desk: StepDesk) -> None:
    run = half_due(desk)
    await inserted(desk, run, A)
    await freeze_something(desk, run, A)
    with pytest.raises(Later, match=r"truth for \+36 h is published later") as caught:
        await desk.do(miner_job(Kind.SCORE_ERA5, run.run_id, A, lead_h=36))
    assert caught.value.until == run.init_time + timedelta(hours=36 + 120)


async def test_truth_is_waited_for_by_the_clock_of_the_run_s_world(desk: StepDesk) -> None:
    """A year later the same run's truth would be out; its world is a year behind."""
    offset = timedelta(days=365)
    run = half_due(desk)
    run = msgspec.structs.replace(run, world_offset=offset, init_time=run.init_time - offset)
    await inserted(desk, run, A)
    await freeze_something(desk, run, A)
    with pytest.raises(Later) as caught:
        await desk.do(miner_job(Kind.SCORE_ERA5, run.run_id, A, lead_h=36))
    assert caught.value.until == run.init_time + timedelta(hours=36 + 120) + offset


async def test_a_run_is_combined_with_what_is_due_and_goes_on(desk: StepDesk) -> None:
    run = half_due(desk)
    await inserted(desk, run, A, B)
    await desk.score(run, A, {24: 0.8})
    await desk.score(run, B, {24: 0.4})

    assert await combined(desk, run) == {A: 0.8, B: 0.4}
    assert await state_of(desk, run) is RunState.SCORING


async def test_a_lead_that_became_due_while_the_combination_waited_is_unknown_and_not_zero(desk: StepDesk) -> None:
    run = a_run(spec=UNGATED, sources=desk.sources)
    await inserted(desk, run, A, B)
    await desk.score(run, A, {24: 0.8})
    await desk.score(run, B, {24: 0.4})

    # The job was put when only +24 h was due; by now +36 h is due as well, and nobody has scored it.
    assert await combined(desk, run) == {A: 0.8, B: 0.4}
    assert await state_of(desk, run) is RunState.SCORING

    await desk.score(run, A, {36: 0.6})
    await desk.score(run, B, {36: 0.6})
    async with desk.context.database.transaction() as conn:
        await combine_if_complete(conn, weather_of(desk), run.run_id)
    (job,) = await desk.wired.queue.claim([Kind.COMBINE], 1)
    await desk.steps[Kind.COMBINE](job, desk.context)

    async with desk.context.database.acquire() as conn:
        assert {s.hotkey: s.score for s in await load_combined(conn, run.run_id)} == pytest.approx({A: 0.7, B: 0.5})
    assert await state_of(desk, run) is RunState.SCORED
    assert sum("set_weights" in key for key in await desk.waiting_jobs()) == 2


# ---- the window


async def test_a_newcomer_s_run_counts_by_how_hard_it_was_to_those_who_know_more(desk: StepDesk) -> None:
    others = [f"miner-{number}" for number in range(8)]
    older = await inserted(desk, a_run(0, spec=ONE_LEAD, sources=desk.sources), *others)
    run = await inserted(desk, a_run(1, spec=ONE_LEAD, sources=desk.sources), *others, A)
    for name in others:
        await desk.score(older, Hotkey(name), {24: 0.8})
        await desk.score(run, Hotkey(name), {24: 0.4})
    await desk.score(run, A, {24: 0.3})
    # By hand: the runs' eases are 0.8 and 0.4 by their mean, 4/3 and 2/3. So A has 0.3 / (2/3), the others 1.2 / 2.
    assert await combined(desk, run) == pytest.approx({A: 0.45, **dict.fromkeys(map(Hotkey, others), 0.6)}, abs=1e-7)


async def test_a_hotkey_that_registered_anew_starts_with_a_clean_sheet(desk: StepDesk) -> None:
    older = a_run(0, spec=ONE_LEAD, sources=desk.sources)
    await inserted(desk, older, A, B)
    run = a_run(1, spec=ONE_LEAD, sources=desk.sources)
    await desk.insert(run, [neuron(A, 1, registered_block=500), neuron(B, 2)])
    await desk.fail(older, A)
    await desk.score(older, B, {24: 0.4})
    await desk.score(run, A, {24: 0.4})
    await desk.score(run, B, {24: 0.4})
    assert await combined(desk, run) == pytest.approx({A: 0.4, B: 0.4})


async def test_the_same_hotkey_without_a_new_registration_keeps_its_zero(desk: StepDesk) -> None:
    older = await inserted(desk, a_run(0, spec=ONE_LEAD, sources=desk.sources), A, B)
    run = await inserted(desk, a_run(1, spec=ONE_LEAD, sources=desk.sources), A, B)
    await desk.fail(older, A)
    await desk.score(older, B, {24: 0.4})
    await desk.score(run, A, {24: 0.4})
    await desk.score(run, B, {24: 0.4})
    assert await combined(desk, run) == pytest.approx({A: 0.2, B: 0.4})


async def test_more_than_half_failing_makes_a_run_void_and_nobody_s_weights_move(desk: StepDesk) -> None:
    run = await inserted(desk, a_run(spec=ONE_LEAD, sources=desk.sources), A, B, C)
    await desk.score(run, A, {24: 0.9})
    await desk.fail(run, B)
    await desk.fail(run, C)

    assert await combined(desk, run) == {}
    async with desk.context.database.acquire() as conn:
        found = await load_run(conn, run.run_id)
        (summary,) = await results.runs(conn, 5)
    assert (found.state, found.void_reason) == (RunState.VOID, "more than half of the miners failed")
    assert (summary.state, summary.miners, summary.void_reason) == ("void", 3, found.void_reason)
    assert await desk.waiting_jobs() == []


async def test_half_failing_is_no_void_run_and_their_zero_has_its_reason(desk: StepDesk) -> None:
    run = await inserted(desk, a_run(spec=ONE_LEAD, sources=desk.sources), A, B)
    await desk.score(run, A, {24: 0.9})
    await desk.fail(run, B, code="miner_timed_out")
    assert await combined(desk, run) == {A: 0.9, B: 0.0}
    async with desk.context.database.acquire() as conn:
        (_, zero) = await load_combined(conn, run.run_id)
    assert (zero.hotkey, zero.reason_code, zero.reason) == (B, "miner_timed_out", "because")


async def test_those_lost_by_our_fault_neither_make_a_run_void_nor_have_a_zero(desk: StepDesk) -> None:
    run = await inserted(desk, a_run(spec=ONE_LEAD, sources=desk.sources), A, B, C)
    await desk.score(run, A, {24: 0.9})
    await desk.fail(run, B, fault="validator", code="chunk_not_stored")
    await desk.fail(run, C, fault="source", code="missing_field")
    assert await combined(desk, run) == {A: 0.9}


# ---- results, for people


async def test_the_components_of_a_run_are_shown_by_field(desk: StepDesk) -> None:
    run = await inserted(desk, a_run(spec=ONE_LEAD, sources=desk.sources), A)
    await desk.score(run, A, {24: 0.9})
    async with desk.context.database.acquire() as conn:
        (component,) = await results.components(conn, run.run_id)
        (progress,) = await results.progress(conn, run.run_id)
    assert (component.variable, component.level, component.rmse, component.acc) == ("z", 500, 2.5, None)
    assert (progress.hotkey, progress.state, progress.leads_scored) == (A, "verified", 1)


def weather_of(desk: StepDesk) -> WeatherContext:
    return WeatherContext(
        core=desk.context,
        settings=WEATHER_SETTINGS,
        fields=FieldCache(desk.context.data_dir, desk.context.compute),
    )


async def freeze_something(desk: StepDesk, run: Run, hotkey: str) -> None:
    """A frozen and verified forecast, of which nothing will be read."""
    forecast = Forecast(
        run_id=run.run_id,
        hotkey=Hotkey(hotkey),
        manifest=b"{}",
        manifest_digest=bytes(32),
        nonce=bytes(32),
        frozen_at=run.commit_deadline,
        verified_at=None,
        store_path="/nowhere",
    )
    async with desk.context.database.acquire() as conn:
        await freeze(conn, forecast)
        await mark_verified(conn, run.run_id, hotkey, run.commit_deadline)
