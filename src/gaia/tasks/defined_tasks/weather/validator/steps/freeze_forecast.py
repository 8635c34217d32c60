"""Step 4: fetch a miner's manifest after the deadline, compare it with the commitment, and store it for good."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from gaia.contracts.errors import Fault, GaiaError
from gaia.contracts.job import Job, Later
from gaia.protocol.manifest import check_manifest
from gaia.tasks.defined_tasks.base import TaskResult
from gaia.tasks.defined_tasks.weather.validator.records.forecasts import Forecast, freeze
from gaia.tasks.defined_tasks.weather.validator.records.runs import (
    MinerState,
    Run,
    RunMiner,
    advance_miner,
    load_miner,
    load_run,
)
from gaia.tasks.defined_tasks.weather.validator.steps.lifecycle import Kind, miner_job
from gaia.tasks.defined_tasks.weather.validator.steps.run_completion import give_up_on_miner
from gaia.tasks.defined_tasks.weather.validator.weather_context import WeatherContext, address_of

_PAUSE = timedelta(seconds=5)


async def freeze_forecast(job: Job, weather: WeatherContext) -> TaskResult:
    """Freeze one miner's manifest. From then on, nothing that the miner says about this forecast is trusted."""
    core = weather.core
    async with core.database.acquire() as conn:
        run = await load_run(conn, job.payload["run_id"])
        miner = await load_miner(conn, run.run_id, job.payload["hotkey"])
    try:
        forecast = await _fetch(weather, run, miner)
    except GaiaError as error:
        if error.fault is Fault.MINER and error.retryable and core.clock.now() + _PAUSE < run.reveal_deadline:
            raise Later(core.clock.now() + _PAUSE, f"{error.code}: {error}") from error
        return await give_up_on_miner(job, weather, error)
    async with core.queue.completing(job) as conn:
        await freeze(conn, forecast)
        await advance_miner(conn, run.run_id, miner.hotkey, MinerState.FROZEN, after=[MinerState.COMMITTED])
        await core.queue.put(miner_job(Kind.VERIFY, run.run_id, miner.hotkey), conn=conn)
    return TaskResult(event="forecast_frozen", detail={"manifest_bytes": len(forecast.manifest)})


async def _fetch(weather: WeatherContext, run: Run, miner: RunMiner) -> Forecast:
    reveal = await weather.miners.fetch_reveal(address_of(miner), run.run_id)
    check_manifest(
        reveal.manifest,
        nonce=reveal.nonce,
        commitment=miner.commitment or b"",
        run_id=run.run_id,
        hotkey=miner.hotkey,
        init_time=run.init_time,
        spec=run.spec,
    )
    return Forecast(
        run_id=run.run_id,
        hotkey=miner.hotkey,
        manifest=reveal.manifest,
        manifest_digest=hashlib.sha256(reveal.manifest).digest(),
        nonce=reveal.nonce,
        frozen_at=weather.core.clock.now(),
        verified_at=None,
        store_path=str(weather.forecast_path(run.run_id, miner.hotkey)),
    )
