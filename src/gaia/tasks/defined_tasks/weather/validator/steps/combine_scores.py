"""Step 7: find clones, apply the gate and the void rule, and combine a window of runs into one score per hotkey."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gaia.contracts.errors import Fault
from gaia.contracts.job import Connection, Job, NewJob
from gaia.protocol.forecast_messages import WEATHER
from gaia.tasks.defined_tasks.base import MinerScore, TaskResult, set_weights_job
from gaia.tasks.defined_tasks.weather.policy.window import is_void, window_scores
from gaia.tasks.defined_tasks.weather.validator.records.runs import (
    MinerState,
    Run,
    RunState,
    fail_miner,
    load_miners,
    load_run,
    set_run_state,
    void_run,
)
from gaia.tasks.defined_tasks.weather.validator.records.scores import (
    load_gates,
    newest_combined_after,
    put_combined,
)
from gaia.tasks.defined_tasks.weather.validator.steps.compare_forecasts import compare_forecasts, put_out_found
from gaia.tasks.defined_tasks.weather.validator.steps.lifecycle import Kind, run_job
from gaia.tasks.defined_tasks.weather.validator.steps.run_completion import due_leads
from gaia.tasks.defined_tasks.weather.validator.steps.window_outcomes import GATE_FAILED, load_outcomes
from gaia.tasks.defined_tasks.weather.validator.weather_context import WeatherContext

_ENDED = (MinerState.SCORED, MinerState.FAILED)


async def combine_scores(job: Job, weather: WeatherContext) -> TaskResult:
    """Write the score of every miner, and put the job that sets the weights."""
    core = weather.core
    run_id = job.payload["run_id"]
    async with core.database.acquire() as conn:
        run = await load_run(conn, run_id)
    comparison = await compare_forecasts(job, weather, run)
    async with core.queue.completing(job) as conn:
        run = await load_run(conn, run_id, lock=True)
        if not await load_miners(conn, run_id):
            await void_run(conn, run_id, "the subnet had no miner to ask", core.clock.now())
            return TaskResult(event="run_voided")
        await _put_out_gated(conn, run)
        await put_out_found(conn, run, comparison)
        scores = await _window(conn, weather, run)
        if scores is None:
            await void_run(conn, run_id, "more than half of the miners failed", core.clock.now())
            return TaskResult(event="run_voided")
        await put_combined(conn, run_id, scores, weather.settings.policy.digest())
        due = due_leads(run, weather)
        # The miners' states decide, not the clock: a lead may have become due in the meantime and not be scored yet.
        if all(miner.state in _ENDED for miner in await load_miners(conn, run_id)):
            await set_run_state(conn, run_id, RunState.SCORED, at=core.clock.now())
        if any(score.score for score in scores):  # before any truth is due nothing is known, so the old weights stay
            await core.queue.put(await _what_follows(conn, run_id, job), run_job(Kind.PICTURE, run_id), conn=conn)
    return TaskResult(event="scores_combined", detail={"miners": len(scores), "leads": len(due)})


async def _what_follows(conn: Connection, run_id: str, job: Job) -> NewJob:
    """The job that follows. Weights are always set from the window of the newest run.

    If an older run was combined, that is because one of its late leads was scored. Then the newest run is combined
    again: the window of the older run knows neither the later runs nor their miners.
    """
    newest = await newest_combined_after(conn, run_id)
    if newest is not None:
        return run_job(Kind.COMBINE, newest, suffix=f":after-{job.id}")
    return set_weights_job(WEATHER, run_id, f"combination-{job.id}")


async def _put_out_gated(conn: Connection, run: Run) -> None:
    for hotkey, gate in (await load_gates(conn, run.run_id)).items():
        if gate.passed is False:
            await fail_miner(
                conn, run.run_id, hotkey, code=GATE_FAILED, fault=Fault.MINER,
                reason=f"the day-1 score {gate.score:.4f} is below the gate",
            )  # fmt: skip


async def _window(conn: Connection, weather: WeatherContext, run: Run) -> Sequence[MinerScore] | None:
    """The scores of this run's miners over the window that ends with it; None if the run is void."""
    policy = weather.settings.policy
    registered = {m.hotkey for m in await load_miners(conn, run.run_id)}
    outcomes = await load_outcomes(conn, run, policy, now=weather.core.clock.now())
    if is_void(outcomes[0], policy):
        return None
    # 0.2 s for 256 miners and 26 runs: too long for the event loop.
    combined = await asyncio.to_thread(window_scores, outcomes, policy)
    return [
        MinerScore(hotkey=hotkey, score=score.score, reason_code=score.reason_code, reason=score.reason)
        for hotkey, score in combined.items()
        if hotkey in registered
    ]
