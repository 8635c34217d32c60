"""Step 6: score one verified forecast: at the gate's lead against the analysis, at the scored leads against the truth.

A unit `weather.score.day1` or `weather.score.era5` that names a run is resolved to files here, and its result is
committed here, whether it comes from a durable job or from `IOEngine.dispatch_and_wait`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from gaia.contracts.errors import GaiaError, ValidatorFault
from gaia.contracts.ids import Hotkey, RunId
from gaia.contracts.job import Connection, Job
from gaia.contracts.unit import WorkUnit
from gaia.tasks.defined_tasks.base import TaskResult
from gaia.tasks.defined_tasks.weather.files.archive import SourceRole
from gaia.tasks.defined_tasks.weather.validator.fetch_chunks import Delivery, fetch_leads
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


class Scorable(Struct, frozen=True, kw_only=True):
    """A score unit resolved: whose it is, which lead it reads, and the unit to compute."""

    run: Run
    forecast: Forecast
    lead_h: int
    unit: WorkUnit


def is_request(unit: WorkUnit) -> bool:
    """Whether a unit names a run, not files."""
    return unit.handler in (DAY1_UNIT, ERA5_UNIT) and "forecast_path" not in unit.payload


async def score_day1(job: Job, weather: WeatherContext) -> TaskResult:
    """The gate: a forecast below it earns nothing in this run."""
    return await _score(job, weather, DAY1_UNIT)


async def score_era5(job: Job, weather: WeatherContext) -> TaskResult:
    """One lead against the truth."""
    return await _score(job, weather, ERA5_UNIT)


async def _score(job: Job, weather: WeatherContext, handler: str) -> TaskResult:
    try:
        scorable = await resolve(WorkUnit(handler=handler, payload=job.payload), weather)
        value = await compute(scorable, weather)
    except GaiaError as error:
        return await give_up_on_miner(job, weather, error)
    async with weather.core.queue.completing(job) as conn:
        await commit(scorable.unit, value, conn)
        await combine_if_complete(conn, weather, scorable.run.run_id)
    return TaskResult(event="forecast_scored", detail={"lead_h": scorable.lead_h, "unit": handler})


async def resolve(unit: WorkUnit, weather: WeatherContext) -> Scorable:
    """Find the run, the forecast, and the truth, reference and climatology of the lead, decoding them if need be.

    Raises NotScorable or ForecastUnknown for a request that does not fit its run, Later while the truth is not out.
    """
    request = msgspec.convert(unit.payload, ScoreRequest)
    async with weather.core.database.acquire() as conn:
        run = await load_run(conn, request.run_id)
        forecast = await _forecast(conn, request)
    lead_h = _lead(unit.handler, run, request)
    truth_role = SourceRole.ANALYSIS if unit.handler == DAY1_UNIT else SourceRole.TRUTH
    world = weather.world(run)
    truth = await weather.fields.path(run, truth_role, lead_h, world)
    if truth is None:
        raise NotScorable(f"run {run.run_id} has no source of truth")
    payload = (Day1Payload if unit.handler == DAY1_UNIT else Era5Payload)(
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
    resolved = msgspec.structs.replace(
        unit, payload=msgspec.to_builtins(payload), timeout_s=weather.settings.unit_timeout_s
    )
    return Scorable(run=run, forecast=forecast, lead_h=lead_h, unit=resolved)


async def compute(scorable: Scorable, weather: WeatherContext) -> dict[str, Any]:
    """Run a resolved unit, its chunks fetched first."""
    delivery = await _delivery(scorable, weather)
    leads = {scorable.lead_h}
    return await compute_on_leads(weather, delivery, leads, scorable.unit)


async def fetch(scorable: Scorable, weather: WeatherContext) -> None:
    """Bring the chunks that a resolved unit reads into the cache."""
    await fetch_leads(weather, await _delivery(scorable, weather), {scorable.lead_h})


async def _delivery(scorable: Scorable, weather: WeatherContext) -> Delivery:
    async with weather.core.database.acquire() as conn:
        miner = await load_miner(conn, scorable.run.run_id, scorable.forecast.hotkey)
    return Delivery(run=scorable.run, miner=miner, forecast=scorable.forecast)


async def commit(unit: WorkUnit, value: Mapping[str, Any], conn: Connection) -> None:
    """Write a score unit's result."""
    if unit.handler == DAY1_UNIT:
        day1 = msgspec.convert(unit.payload, Day1Payload)
        await put_day1(conn, day1.run_id, day1.hotkey, msgspec.convert(value, Day1Result), day1.policy.digest())
    else:
        era5 = msgspec.convert(unit.payload, Era5Payload)
        await put_era5(conn, era5.run_id, era5.hotkey, msgspec.convert(value, Era5Result), era5.policy.digest())


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
