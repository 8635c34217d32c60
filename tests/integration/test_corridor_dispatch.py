"""Units given to the engine by hand: dispatch_and_wait does what the run's own jobs do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from gaia.contracts.clock import SystemClock
from gaia.contracts.errors import Fault
from gaia.contracts.ids import Hotkey
from gaia.contracts.unit import ResultUnit, WorkUnit
from gaia.tasks.defined_tasks.weather.validator.records.runs import (
    MinerState,
    Run,
    RunState,
)
from gaia.tasks.defined_tasks.weather.validator.steps.lifecycle import Kind
from gaia.validator.app.io_engine import IOEngine, NotStarted
from tests.integration.corridor_world import (
    FAIR,
    GOOD,
    World,
    settled_world,  # noqa: F401  the fixture `world`
)
from tests.support.small_world import (
    NETUID,
    SPEC,
    a_run,
    insert_run_at,
)

pytestmark = [pytest.mark.database, pytest.mark.processes, pytest.mark.asyncio(loop_scope="module")]


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
