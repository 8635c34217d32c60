"""Step 5: check the first chunks of a frozen forecast before any work is put into scoring it.

The leads scored later are checked in the same way when they are read: nothing is ever scored unchecked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from gaia.contracts.errors import Fault, GaiaError
from gaia.contracts.job import Job
from gaia.contracts.unit import ResultUnit, WorkUnit, value_of
from gaia.tasks.defined_tasks.base import TaskResult
from gaia.tasks.defined_tasks.weather.files.archive import SourceRole
from gaia.tasks.defined_tasks.weather.supply.catalogue import available_at
from gaia.tasks.defined_tasks.weather.validator.fetch_chunks import Delivery, fetch_leads, forget_leads
from gaia.tasks.defined_tasks.weather.validator.handlers.verify_payloads import VerifyPayload
from gaia.tasks.defined_tasks.weather.validator.records.forecasts import (
    load_forecast,
    mark_verified,
)
from gaia.tasks.defined_tasks.weather.validator.records.runs import (
    MinerState,
    Run,
    advance_miner,
    load_miner,
    load_run,
)
from gaia.tasks.defined_tasks.weather.validator.steps.lifecycle import score_jobs
from gaia.tasks.defined_tasks.weather.validator.steps.run_completion import combine_if_complete, give_up_on_miner
from gaia.tasks.defined_tasks.weather.validator.weather_context import WeatherContext

_SPOILT = ("chunk_digest_mismatch", "chunk_corrupt", "chunk_size_wrong", "chunk_missing")
"""What a bad disk of ours could cause as well as a miner: believed only of freshly fetched chunks."""


async def verify_forecast(job: Job, weather: WeatherContext) -> TaskResult:
    """Verify the leads needed first, then let every lead be scored when its truth exists."""
    core = weather.core
    async with core.database.acquire() as conn:
        run = await load_run(conn, job.payload["run_id"])
        miner = await load_miner(conn, run.run_id, job.payload["hotkey"])
        forecast = await load_forecast(conn, run.run_id, miner.hotkey)
    first = run.spec.scored_lead_h[0] if run.spec.gate_lead_h is None else run.spec.gate_lead_h
    payload = VerifyPayload(
        run_id=run.run_id,
        hotkey=miner.hotkey,
        forecast_path=forecast.store_path,
        spec=run.spec,
        manifest_digest=forecast.manifest_digest.hex(),
        lead_h=(first,),
    )
    unit = WorkUnit(
        handler="weather.verify",
        payload=msgspec.to_builtins(payload),
        timeout_s=weather.settings.unit_timeout_s,
    )
    try:
        await compute_on_leads(weather, Delivery(run=run, miner=miner, forecast=forecast), {first}, unit)
    except GaiaError as error:
        return await give_up_on_miner(job, weather, error)
    async with core.queue.completing(job) as conn:
        await load_run(conn, run.run_id, lock=True)  # before the miner's row, as in give_up_on_miner
        await mark_verified(conn, run.run_id, miner.hotkey, core.clock.now())
        await advance_miner(conn, run.run_id, miner.hotkey, MinerState.VERIFIED, after=[MinerState.FROZEN])
        await core.queue.put(*score_jobs(run, miner.hotkey, _due_on_the_wall(run, weather)), conn=conn)
        await combine_if_complete(conn, weather, run.run_id)
    return TaskResult(event="forecast_verified", detail={"lead_h": first})


async def compute_on_leads(
    weather: WeatherContext, delivery: Delivery, leads_h: set[int], unit: WorkUnit
) -> ResultUnit:
    """Fetch the leads and run a unit that reads them; what could be our own disk's fault is fetched and tried again.

    The result is a success. Raises UnitFailed, or the MinerFault of a chunk that cannot be had.
    """
    await fetch_leads(weather, delivery, leads_h)
    result = await weather.core.compute(unit)
    if result.error is not None and result.error.fault is Fault.MINER and result.error.code in _SPOILT:
        await forget_leads(delivery.run, Path(delivery.forecast.store_path), leads_h)
        await fetch_leads(weather, delivery, leads_h)
        result = await weather.core.compute(msgspec.structs.replace(unit, unit_id=f"{unit.unit_id}-refetched"))
    value_of(result)
    return result


def _due_on_the_wall(run: Run, weather: WeatherContext) -> dict[int, Any]:
    world = weather.world(run)
    due = {lead: available_at(SourceRole.TRUTH, run.valid_time(lead)) for lead in run.spec.scored_lead_h}
    if run.spec.gate_lead_h is not None:
        due[run.spec.gate_lead_h] = available_at(SourceRole.ANALYSIS, run.valid_time(run.spec.gate_lead_h))
    return {lead: world.wall_time(time) for lead, time in due.items()}
