"""Step 7: find the clones, apply the gate and the void rule, and combine the window of runs into one score per hotkey."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from gaia.contracts.errors import Fault
from gaia.contracts.ids import Hotkey
from gaia.contracts.job import Connection, Job
from gaia.contracts.unit import WorkUnit, value_of
from gaia.tasks.defined_tasks.base import MinerScore, TaskResult, set_weights_job
from gaia.tasks.defined_tasks.weather.scoring.window import RunOutcome, Zeroed, is_void, window_scores
from gaia.tasks.defined_tasks.weather.sources.catalog import Role
from gaia.tasks.defined_tasks.weather.validator.fetch_chunks import fetch_leads
from gaia.tasks.defined_tasks.weather.validator.lifecycle import Kind, run_job
from gaia.tasks.defined_tasks.weather.validator.progress import due_leads
from gaia.tasks.defined_tasks.weather.validator.records.forecasts import Forecast, load_verified
from gaia.tasks.defined_tasks.weather.validator.records.runs import (
    MinerState,
    Run,
    RunMiner,
    RunState,
    fail_miner,
    load_miners,
    load_run,
    load_window,
    set_run_state,
    void_run,
)
from gaia.tasks.defined_tasks.weather.validator.records.scores import (
    load_gates,
    load_lead_scores,
    put_combined,
)
from gaia.tasks.defined_tasks.weather.validator.score_payloads import ClonesPayload, ClonesResult, ForecastRef
from gaia.tasks.defined_tasks.weather.validator.weather_context import WeatherContext

GATE_FAILED = "day1_gate_failed"
CLONE_OF_REFERENCE = "clone_of_reference"
CLONE_OF_MINER = "clone_of_miner"
_DELIVERED_CODES = (GATE_FAILED, CLONE_OF_REFERENCE, CLONE_OF_MINER)
"""Zeros of miners who did deliver: they do not make a run void."""


async def combine_scores(job: Job, weather: WeatherContext) -> TaskResult:
    """Write everybody's score, and have the weights set from them."""
    core = weather.core
    run_id = job.payload["run_id"]
    async with core.database.acquire() as conn:
        run = await load_run(conn, run_id)
        clones = await _find_clones(conn, weather, run)
    async with core.queue.completing(job) as conn:
        run = await load_run(conn, run_id, lock=True)
        await _put_out_gated(conn, run)
        await _put_out_clones(conn, run, clones)
        scores = await _window(conn, weather, run)
        if scores is None:
            await void_run(conn, run_id, "more than half of the miners failed", core.clock.now())
            return TaskResult(event="run_voided")
        await put_combined(conn, run_id, scores, weather.settings.policy.digest())
        due = due_leads(run, weather)
        if len(due) == len(run.spec.scored_lead_h):
            await set_run_state(conn, run_id, RunState.SCORED, at=core.clock.now())
        await core.queue.put(
            set_weights_job("weather", run_id, f"{len(due)}-leads"), run_job(Kind.PICTURE, run_id), conn=conn
        )
    return TaskResult(event="scores_combined", detail={"miners": len(scores), "leads": len(due)})


async def _find_clones(conn: Connection, weather: WeatherContext, run: Run) -> ClonesResult | None:
    """Compare the forecasts at the gate's lead with one another and with the reference; None: no gate, or no reference."""
    if run.spec.gate_lead_h is None or run.sources.reference is None:
        return None
    gate_lead_h = run.spec.gate_lead_h
    verified = {f.hotkey: f for f in await load_verified(conn, run.run_id)}
    if not verified:
        return None
    for miner in await load_miners(conn, run.run_id):
        if miner.hotkey in verified and miner.state is not MinerState.FAILED:
            await fetch_leads(weather, run, miner, verified[miner.hotkey], {gate_lead_h})
    payload = ClonesPayload(
        run_id=run.run_id,
        spec=run.spec,
        policy=weather.settings.policy,
        lead_h=gate_lead_h,
        forecasts={hotkey: _reference_to(forecast) for hotkey, forecast in verified.items()},
        reference_path=await weather.fields.path(run, Role.REFERENCE, gate_lead_h, weather.world(run)),
    )
    unit = WorkUnit(
        handler="weather.clones",
        payload=msgspec.to_builtins(payload),
        timeout_s=weather.settings.unit_timeout_s,
    )
    return msgspec.convert(value_of(await weather.core.compute(unit)), ClonesResult)


def _reference_to(forecast: Forecast) -> ForecastRef:
    return ForecastRef(path=forecast.store_path, manifest_digest=forecast.manifest_digest.hex())


async def _put_out_gated(conn: Connection, run: Run) -> None:
    for hotkey, gate in (await load_gates(conn, run.run_id)).items():
        if gate.passed is False:
            await fail_miner(
                conn, run.run_id, hotkey, code=GATE_FAILED, fault=Fault.MINER,
                reason=f"the day-1 score {gate.score:.4f} is below the gate",
            )  # fmt: skip


async def _put_out_clones(conn: Connection, run: Run, clones: ClonesResult | None) -> None:
    """Copies of the reference earn nothing; of several equal forecasts only the first committed one earns."""
    if clones is None:
        return
    for hotkey in clones.of_reference:
        await fail_miner(
            conn, run.run_id, hotkey, code=CLONE_OF_REFERENCE, fault=Fault.MINER,
            reason="the forecast is the operational reference, within the clone thresholds",
        )  # fmt: skip
    order = {m.hotkey: (m.committed_at, m.uid) for m in await load_miners(conn, run.run_id)}
    for pair in clones.pairs:
        first, copy = sorted((pair.first, pair.second), key=lambda hotkey: order[hotkey])
        await fail_miner(
            conn, run.run_id, copy, code=CLONE_OF_MINER, fault=Fault.MINER,
            reason=f"the forecast is that of {first}, who committed earlier, within the clone thresholds",
        )  # fmt: skip


async def _window(conn: Connection, weather: WeatherContext, run: Run) -> Sequence[MinerScore] | None:
    """The scores of this run's miners after it; None if it is void."""
    policy = weather.settings.policy
    registered = {m.hotkey: m.registered_block for m in await load_miners(conn, run.run_id)}
    runs = [run, *await load_window(conn, run, policy.window.runs - 1)]
    outcomes = [await _outcome(conn, weather, each, registered) for each in runs]
    if is_void(outcomes[0], policy):
        return None
    return [
        MinerScore(hotkey=hotkey, score=score.score, reason_code=score.reason_code, reason=score.reason)
        for hotkey, score in window_scores(outcomes, policy).items()
        if hotkey in registered
    ]


async def _outcome(conn: Connection, weather: WeatherContext, run: Run, registered: Mapping[Hotkey, int]) -> RunOutcome:
    """One run as the window sees it. A hotkey that has registered anew since starts with a clean sheet."""
    miners = [m for m in await load_miners(conn, run.run_id) if registered.get(m.hotkey) == m.registered_block]
    scores: dict[Hotkey, dict[int, float | None]] = {}
    for row in await load_lead_scores(conn, [run.run_id]):
        scores.setdefault(row.hotkey, {})[row.lead_h] = row.lead_score
    return RunOutcome(
        run_id=run.run_id,
        asked=frozenset(m.hotkey for m in miners if not _lost_by_us(m)),
        due_lead_h=frozenset(due_leads(run, weather)),
        lead_scores=scores,
        zeroed=_zeroed(miners),
    )


def _lost_by_us(miner: RunMiner) -> bool:
    return miner.state is MinerState.FAILED and miner.fault is not Fault.MINER


def _zeroed(miners: Sequence[RunMiner]) -> Mapping[Hotkey, Zeroed]:
    return {
        miner.hotkey: Zeroed(
            reason_code=miner.reason_code,
            reason=miner.reason or "",
            delivered=miner.reason_code in _DELIVERED_CODES,
        )
        for miner in miners
        if miner.state is MinerState.FAILED and miner.fault is Fault.MINER and miner.reason_code
    }
