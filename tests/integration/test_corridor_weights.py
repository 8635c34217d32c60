"""Step 8 on a real database and the simulated chain: what is set, what is not, and what happens instead."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from gaia.contracts.ids import Hotkey
from gaia.contracts.job import Later
from gaia.contracts.ports import ChainRefused
from gaia.tasks.defined_tasks.base import MinerScore, set_weights_job
from gaia.tasks.defined_tasks.weather.policy.policy import DEFAULT_POLICY
from gaia.tasks.defined_tasks.weather.validator.records.scores import put_combined
from gaia.tasks.defined_tasks.weather.validator.views import VIEWS
from gaia.validator.db.embedded import EmbeddedPostgres
from gaia.validator.db.weight_sets import WeightsState, weights_state
from gaia.validator.leaderboard import leaderboard
from gaia.validator.set_weights import READ_BACK, NoWeights
from gaia.validator.weights import EmissionPolicy
from tests.support.small_world import NETUID, PARAMETERS, a_run
from tests.support.step_desk import StepDesk, neuron, step_desk

pytestmark = pytest.mark.database
SHARPNESS = EmissionPolicy().sharpness


@pytest.fixture
async def desk(migrated_server: EmbeddedPostgres, tmp_path: Path) -> AsyncIterator[StepDesk]:
    async with step_desk(migrated_server, tmp_path) as desk:
        yield desk


@pytest.fixture
async def slow_desk(migrated_server: EmbeddedPostgres, tmp_path: Path) -> AsyncIterator[StepDesk]:
    """A desk on a chain that takes weights only every 10,000 blocks."""
    slow = msgspec.structs.replace(PARAMETERS, weights_rate_limit_blocks=10_000)
    async with step_desk(migrated_server, tmp_path, slow) as desk:
        yield desk


async def scored_run(desk: StepDesk, scores: Mapping[str, float | None], day: int = 0) -> str:
    """A run after which the miners stand at these scores; a zero has a reason."""
    run = a_run(day, sources=desk.sources)
    await desk.insert(run, [neuron(name, uid) for uid, name in enumerate(scores, start=1)])
    rows = [
        MinerScore(
            hotkey=Hotkey(name),
            score=score,
            reason_code="no_commitment" if score == 0 else None,
            reason="because" if score == 0 else None,
        )
        for name, score in scores.items()
    ]
    async with desk.context.database.transaction() as conn:
        await put_combined(conn, run.run_id, rows, DEFAULT_POLICY.digest())
    return run.run_id


async def register(desk: StepDesk, *names: str) -> None:
    for name in names:
        await desk.chain.register(NETUID, Hotkey(name))


async def read_back(desk: StepDesk) -> str:
    """Do the read-back that the setting has put into the line; the event."""
    (job,) = await desk.wired.queue.claim([READ_BACK], 1)
    return (await desk.steps[READ_BACK](job, desk.context)).event


async def row_on_chain(desk: StepDesk) -> Mapping[int, int] | None:
    row = await desk.chain.weights(NETUID, desk.signer.hotkey)
    return None if row is None else dict(row.weights)


async def test_weights_follow_the_scores_and_are_read_back(desk: StepDesk) -> None:
    await register(desk, "best", "second", "silent")
    run_id = await scored_run(desk, {"best": 0.80000004, "second": 0.40000002, "silent": 0.0})

    result = await desk.do(set_weights_job("weather", run_id, "1-leads"))

    assert (result.event, result.detail) == ("weights_set", {"uids": 2, "alarm": None})
    # Half of the best score earns (1/2)^sharpness of its pay; the chain's unit is 1/65535 of the largest.
    assert await row_on_chain(desk) == {1: 65535, 2: round(65535 * 0.5**SHARPNESS)}
    assert await read_back(desk) == "weights_read_back"
    async with desk.context.database.acquire() as conn:
        assert await weights_state(conn, run_id) == WeightsState(set=True, read_back=True, alarm=None)
        rows = await leaderboard(conn, VIEWS, run_id)
    assert SHARPNESS == 3  # so that the shares are 8/9 and 1/9, published with six decimals
    assert [(s.rank, s.hotkey, s.score, s.emission_weight) for s in rows] == [
        (1, "best", 0.8, 0.888889),
        (2, "second", 0.4, 0.111111),
        (3, "silent", 0.0, 0.0),
    ]
    assert (rows[2].score, rows[2].reason_code, rows[2].reason) == (
        0.0,
        "no_commitment",
        "because",
    )


async def test_a_hotkey_that_left_the_subnet_gets_no_weight_and_the_rest_still_sums_to_one(desk: StepDesk) -> None:
    await register(desk, "stayed", "also-stayed")
    run_id = await scored_run(desk, {"stayed": 0.5, "left": 0.9, "also-stayed": 0.5})

    await desk.do(set_weights_job("weather", run_id, "1-leads"))

    assert await row_on_chain(desk) == {1: 65535, 2: 65535}
    (row,) = await desk.fetch("SELECT emission FROM weight_set")
    assert row["emission"] == {"stayed": 0.5, "also-stayed": 0.5}


async def test_an_anomalous_vector_is_replaced_by_the_last_good_one_with_an_alarm(desk: StepDesk) -> None:
    await register(desk, "a", "b", "c")
    await desk.do(set_weights_job("weather", await scored_run(desk, {"a": 0.8, "b": 0.8, "c": 0.4}), "1-leads"))
    await read_back(desk)
    good = await row_on_chain(desk)
    # Everything moves from a and b to c: an L1 distance of almost 2.
    later = await scored_run(desk, {"a": 0.4, "b": 0.4, "c": 0.8}, day=1)

    result = await desk.do(set_weights_job("weather", later, "1-leads"))

    assert result.detail["alarm"] is not None
    assert await row_on_chain(desk) == good
    assert await read_back(desk) == "weights_read_back"
    async with desk.context.database.acquire() as conn:
        state = await weights_state(conn, later)
    assert state.read_back
    assert state.alarm is not None
    assert "moved" in state.alarm


async def test_the_last_good_weights_are_set_again_only_for_those_still_registered(desk: StepDesk) -> None:
    await register(desk, "a", "b", "c")
    await desk.do(set_weights_job("weather", await scored_run(desk, {"a": 0.8, "b": 0.8, "c": 0.8}), "1-leads"))
    await read_back(desk)
    await desk.chain.deregister(NETUID, Hotkey("c"))
    nothing = await scored_run(desk, {"a": None, "b": None}, day=1)

    result = await desk.do(set_weights_job("weather", nothing, "0-leads"))

    assert "sum to 0" in str(result.detail["alarm"])
    assert await row_on_chain(desk) == {1: 65535, 2: 65535}


async def test_without_scores_and_without_good_weights_nothing_is_set(desk: StepDesk) -> None:
    await register(desk, "a")
    run_id = await scored_run(desk, {"a": None})
    with pytest.raises(NoWeights, match="no good ones"):
        await desk.do(set_weights_job("weather", run_id, "0-leads"))
    assert await row_on_chain(desk) is None


async def test_a_chain_that_takes_no_weights_yet_is_waited_for(slow_desk: StepDesk) -> None:
    await register(slow_desk, "a", "b")
    await slow_desk.do(set_weights_job("weather", await scored_run(slow_desk, {"a": 0.8, "b": 0.8}), "1-leads"))
    first = await row_on_chain(slow_desk)
    run_id = await scored_run(slow_desk, {"a": 0.8, "b": 0.7}, day=1)

    before = datetime.now(UTC)
    with pytest.raises(Later, match="SettingWeightsTooFast") as caught:
        await slow_desk.do(set_weights_job("weather", run_id, "1-leads"))

    assert before < caught.value.until < before + timedelta(minutes=1)
    assert await row_on_chain(slow_desk) == first


async def test_weights_that_an_interrupted_attempt_has_set_are_not_sent_twice(slow_desk: StepDesk) -> None:
    await register(slow_desk, "a", "b")
    run_id = await scored_run(slow_desk, {"a": 0.8, "b": 0.8})
    # The attempt that died after the chain had taken the weights and before the database knew:
    await slow_desk.chain.set_weights(NETUID, slow_desk.signer, {1: 65535, 2: 65535}, PARAMETERS.weights_version)

    result = await slow_desk.do(set_weights_job("weather", run_id, "1-leads"))

    assert result.event == "weights_set"  # a second submission would have been refused as too fast
    assert await read_back(slow_desk) == "weights_read_back"


async def test_a_refusal_that_waiting_does_not_mend_is_an_error(desk: StepDesk) -> None:
    await register(desk, "a", "b")
    run_id = await scored_run(desk, {"a": 0.8, "b": 0.8})
    await desk.chain.deregister(NETUID, desk.signer.hotkey)
    with pytest.raises(ChainRefused) as caught:
        await desk.do(set_weights_job("weather", run_id, "1-leads"))
    assert not caught.value.retryable


async def test_weights_that_others_have_replaced_before_they_were_read_back_raise_no_alarm(desk: StepDesk) -> None:
    await register(desk, "a", "b")
    await desk.do(set_weights_job("weather", await scored_run(desk, {"a": 0.8, "b": 0.8}), "1-leads"))
    await desk.do(set_weights_job("weather", await scored_run(desk, {"a": 0.8, "b": 0.6}, day=1), "1-leads"))

    first, second = await desk.wired.queue.claim([READ_BACK], 2)
    events = [(await desk.steps[READ_BACK](job, desk.context)).event for job in (first, second)]

    assert events == ["weights_superseded", "weights_read_back"]
    assert [row["alarm"] for row in await desk.fetch("SELECT alarm FROM weight_set")] == [None, None]


async def test_weights_missing_on_the_chain_are_waited_for_and_then_raise_an_alarm(desk: StepDesk) -> None:
    await register(desk, "a", "b")
    run_id = await scored_run(desk, {"a": 0.8, "b": 0.8})
    await desk.do(set_weights_job("weather", run_id, "1-leads"))
    await desk.chain.set_weights(NETUID, desk.signer, {1: 65535}, PARAMETERS.weights_version)
    (job,) = await desk.wired.queue.claim([READ_BACK], 1)

    with pytest.raises(Later, match="does not show"):
        await desk.steps[READ_BACK](job, desk.context)
    await desk.execute("UPDATE weight_set SET submitted_at = submitted_at - interval '1 hour'")
    result = await desk.steps[READ_BACK](job, desk.context)

    assert result.event == "weights_not_read_back"
    async with desk.context.database.acquire() as conn:
        state = await weights_state(conn, run_id)
    assert not state.read_back
    assert state.alarm == "the chain does not hold what was submitted"
