"""Step 6: score one verified forecast: at the gate's lead against the analysis, at the scored leads against the truth.

There is one way: `score` resolves a unit that names a run to files and has it computed, `record` writes what came of it
and completes the run. A durable job and `IOEngine.dispatch_and_wait` both go it.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from gaia.contracts.errors import GaiaError, ValidatorFault
from gaia.contracts.ids import Hotkey, RunId
from gaia.contracts.job import Connection, Job
from gaia.contracts.unit import ResultUnit, WorkUnit
from gaia.tasks.defined_tasks.base import TaskResult
from gaia.tasks.defined_tasks.weather.files.archive import SourceRole
from gaia.tasks.defined_tasks.weather.validator.fetch_chunks import Delivery
from gaia.tasks.defined_tasks.weather.validator.handlers.score_payloads import (
    Day1Payload,
    Day1Result,
    Era5Payload,
    Era5Result,
)
from gaia.tasks.defined_tasks.weather.validator.records.forecasts import (
    Forecast,
    ForecastUnknown,
    load_forecast,
    load_verified,
)
from gaia.tasks.defined_tasks.weather.validator.records.runs import Run, load_miner, load_run
from gaia.tasks.defined_tasks.weather.validator.records.scores import put_day1, put_era5
from gaia.tasks.defined_tasks.weather.validator.steps.run_completion import combine_if_complete, give_up_on_miner
from gaia.tasks.defined_tasks.weather.validator.steps.verify_forecast import compute_on_leads
from gaia.tasks.defined_tasks.weather.validator.weather_context import WeatherContext

DAY1_UNIT = "weather.score.day1"
ERA5_UNIT = "weather.score.era5"


class NotScorable(ValidatorFault):
    """A score unit asks for something that its run does not have."""


class ScoreRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The payload of a score unit that names a run instead of files."""

    run_id: RunId
    hotkey: Hotkey | None = None
    """May be left out when the run has only one verified forecast."""
    lead_h: int | None = None
    """Of an `era5` unit; may be left out when the run scores only one lead."""


class Scored(Struct, frozen=True, kw_only=True):
    """A lead of a forecast that has been scored, and not yet written."""

    run_id: RunId
    lead_h: int
    payload: Day1Payload | Era5Payload
    result: ResultUnit


def names_a_run(unit: WorkUnit) -> bool:
    """Whether a unit is a request to score a run's forecast, and not one that names files."""
    return unit.handler in (DAY1_UNIT, ERA5_UNIT) and "forecast_path" not in unit.payload


async def score_day1(job: Job, weather: WeatherContext) -> TaskResult:
    """The gate: a forecast below it earns nothing in this run."""
    return await _score_for(job, weather, DAY1_UNIT)


async def score_era5(job: Job, weather: WeatherContext) -> TaskResult:
    """One lead against the truth."""
    return await _score_for(job, weather, ERA5_UNIT)


async def _score_for(job: Job, weather: WeatherContext, handler: str) -> TaskResult:
    try:
        scored = await score(WorkUnit(handler=handler, payload=job.payload), weather)
    except GaiaError as error:
        return await give_up_on_miner(job, weather, error)
    async with weather.core.queue.completing(job) as conn:
        await record(scored, weather, conn)
    return TaskResult(event="forecast_scored", detail={"lead_h": scored.lead_h, "unit": handler})


async def score(unit: WorkUnit, weather: WeatherContext) -> Scored:
    """Score the lead that a unit asks for: find its forecast, fetch the chunks, have a worker compute.

    Raises NotScorable or ForecastUnknown for a request that does not fit its run, Later while the truth is not out, and
    whatever the computation failed with.
    """
    request = msgspec.convert(unit.payload, ScoreRequest)
    async with weather.core.database.acquire() as conn:
        run = await load_run(conn, request.run_id)
        forecast = await _forecast(conn, request)
        miner = await load_miner(conn, run.run_id, forecast.hotkey)
    payload = await _payload(unit.handler, run, forecast, _lead(unit.handler, run, request), weather)
    resolved = msgspec.structs.replace(
        unit, payload=msgspec.to_builtins(payload), timeout_s=weather.settings.unit_timeout_s
    )
    delivery = Delivery(run=run, miner=miner, forecast=forecast)
    result = await compute_on_leads(weather, delivery, {payload.lead_h}, resolved)
    return Scored(run_id=run.run_id, lead_h=payload.lead_h, payload=payload, result=result)


async def record(scored: Scored, weather: WeatherContext, conn: Connection) -> None:
    """Write the scores, and have the run's scores combined if these were the last that it waited for."""
    payload, value = scored.payload, scored.result.value
    if isinstance(payload, Day1Payload):
        day1 = msgspec.convert(value, Day1Result)
        await put_day1(conn, payload.run_id, payload.hotkey, day1, payload.policy.digest())
    else:
        era5 = msgspec.convert(value, Era5Result)
        await put_era5(conn, payload.run_id, payload.hotkey, era5, payload.policy.digest())
    await combine_if_complete(conn, weather, scored.run_id)


async def _payload(
    handler: str, run: Run, forecast: Forecast, lead_h: int, weather: WeatherContext
) -> Day1Payload | Era5Payload:
    """The files of one lead; truth, reference and climatology are decoded first if need be."""
    world = weather.world(run)
    truth_role = SourceRole.ANALYSIS if handler == DAY1_UNIT else SourceRole.TRUTH
    truth = await weather.fields.path(run, truth_role, lead_h, world)
    if truth is None:
        raise NotScorable(f"run {run.run_id} has no source of truth")
    return (Day1Payload if handler == DAY1_UNIT else Era5Payload)(
        run_id=run.run_id,
        hotkey=forecast.hotkey,
        forecast_path=forecast.store_path,
        manifest_digest=forecast.manifest_digest.hex(),
        lead_h=lead_h,
        spec=run.spec,
        truth_path=truth,
        climatology_path=await weather.fields.path(run, SourceRole.CLIMATOLOGY, lead_h, world),
        reference_path=await weather.fields.path(run, SourceRole.REFERENCE, lead_h, world),
        policy=weather.settings.policy,
    )


async def _forecast(conn: Connection, request: ScoreRequest) -> Forecast:
    if request.hotkey is not None:
        forecast = await load_forecast(conn, request.run_id, request.hotkey)
        if forecast.verified_at is None:
            raise ForecastUnknown(f"the forecast of {request.hotkey} in run {request.run_id} is not verified")
        return forecast
    verified = await load_verified(conn, request.run_id)
    if len(verified) != 1:
        raise ForecastUnknown(
            f"run {request.run_id} has {len(verified)} verified forecasts; name one by its hotkey in the unit"
        )
    return verified[0]


def _lead(handler: str, run: Run, request: ScoreRequest) -> int:
    if handler == DAY1_UNIT:
        if run.spec.gate_lead_h is None:
            raise NotScorable(f"run {run.run_id} has no day-1 gate")
        return run.spec.gate_lead_h
    lead_h = request.lead_h if request.lead_h is not None else run.spec.scored_lead_h[0]
    if lead_h not in run.spec.scored_lead_h or (request.lead_h is None and len(run.spec.scored_lead_h) > 1):
        raise NotScorable(f"run {run.run_id} scores the leads {list(run.spec.scored_lead_h)} h; name one in the unit")
    return lead_h
