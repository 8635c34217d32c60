"""Step 2: ask each miner of the run for its forecast, until it acknowledges or the commit deadline passes."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from gaia.contracts.errors import GaiaError
from gaia.contracts.job import Job, Later
from gaia.protocol.forecast_messages import ForecastRequest
from gaia.protocol.messages import custom_serializer
from gaia.tasks.defined_tasks.base import TaskResult
from gaia.tasks.defined_tasks.weather.validator.records.runs import (
    MinerState,
    Run,
    RunMiner,
    advance_miner,
    load_miners,
    load_run,
    note_trouble,
)
from gaia.tasks.defined_tasks.weather.validator.weather_context import WeatherContext, address_of

KEPT_FOR = timedelta(days=20)
"""Miners serve a forecast for this long after `init_time`. In a hindcast, whose `init_time` is in the past, it counts
from the deadline."""

_PAUSE = timedelta(seconds=5)


async def request_forecasts(job: Job, weather: WeatherContext) -> TaskResult:
    """Ask all miners that have not acknowledged, once each. To ask twice is harmless: it is the same request."""
    core = weather.core
    async with core.database.acquire() as conn:
        run = await load_run(conn, job.payload["run_id"])
        waiting = [m for m in await load_miners(conn, run.run_id) if m.state is MinerState.LISTED]
    if core.clock.now() < run.commit_deadline:
        request = custom_serializer(_request(run))
        room = asyncio.Semaphore(weather.core.miner_concurrency)
        async with asyncio.TaskGroup() as group:
            asks = [group.create_task(_ask_safely(weather, run, miner, request, room)) for miner in waiting]
        left = sum(not ask.result() for ask in asks)
        if left and core.clock.now() + _PAUSE < run.commit_deadline:
            raise Later(core.clock.now() + _PAUSE, f"{left} miners have not acknowledged")
    async with core.queue.completing(job):
        pass
    return TaskResult(event="forecasts_requested", detail={"asked": len(waiting)})


def _request(run: Run) -> ForecastRequest:
    is_hindcast = run.commit_deadline - run.init_time > timedelta(days=1)
    served_from = run.commit_deadline if is_hindcast else run.init_time
    return ForecastRequest(
        run_id=run.run_id,
        netuid=run.netuid,
        init_time=run.init_time,
        spec=run.spec,
        commit_deadline=run.commit_deadline,
        reveal_until=served_from + KEPT_FOR,
    )


async def _ask_safely(
    weather: WeatherContext, run: Run, miner: RunMiner, request: bytes, room: asyncio.Semaphore
) -> bool:
    """As `_ask`, but catches every error: in a task group one miner's error would cancel the requests to all others."""
    try:
        return await _ask(weather, run, miner, request, room)
    except Exception as error:  # noqa: BLE001  see above; this miner is asked again in the next round
        weather.core.log.warning("forecast_request_failed", hotkey=miner.hotkey, error=repr(error))
        return False


async def _ask(weather: WeatherContext, run: Run, miner: RunMiner, request: bytes, room: asyncio.Semaphore) -> bool:
    """Ask one miner, and store the outcome. Returns whether it has acknowledged."""
    async with room:
        try:
            await weather.miners.request_forecast(address_of(miner), request)
        except GaiaError as error:
            async with weather.core.database.acquire() as conn:
                await note_trouble(conn, run.run_id, miner.hotkey, error)
            return False
        async with weather.core.database.acquire() as conn:
            await advance_miner(conn, run.run_id, miner.hotkey, MinerState.ACKNOWLEDGED, after=[MinerState.LISTED])
        return True
