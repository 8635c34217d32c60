"""Step 3: collect the miners' commitments until the deadline. The time of receipt by our clock decides.

If the validator was not running to ask a miner for its commitment, that miner is *unknown*, not late.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from gaia.contracts.errors import Fault, GaiaError
from gaia.contracts.job import Connection, Job, Later
from gaia.tasks.defined_tasks.base import TaskResult
from gaia.tasks.defined_tasks.weather.settings import WeatherSettings
from gaia.tasks.defined_tasks.weather.validator.records.runs import (
    MinerState,
    Run,
    RunMiner,
    RunState,
    fail_miner,
    load_miners,
    load_run,
    note_trouble,
    record_commitment,
    set_polled,
    set_run_state,
)
from gaia.tasks.defined_tasks.weather.validator.steps.lifecycle import Kind, miner_job
from gaia.tasks.defined_tasks.weather.validator.steps.run_completion import combine_if_complete
from gaia.tasks.defined_tasks.weather.validator.weather_context import WeatherContext, address_of

_UNCOMMITTED = (MinerState.LISTED, MinerState.ACKNOWLEDGED)

_ABSENCE = timedelta(seconds=10)
"""If we last asked longer than this before the deadline, we were away, and no miner counts as late. It is short because
a miner may commit in the last moment, and a validator that restarts cannot tell who did.
"""

_PAUSE_IN_TROUBLE = timedelta(seconds=2)
"""The pause before a miner is asked again after an error that is not its fault, such as a restarting database."""


async def collect_commitments(job: Job, weather: WeatherContext) -> TaskResult:
    """Ask until the deadline. Then close the list, and put a freeze job for every committed forecast."""
    core = weather.core
    async with core.database.acquire() as conn:
        run = await load_run(conn, job.payload["run_id"])
        miners = await load_miners(conn, run.run_id)
    left = run.commit_deadline - core.clock.now()
    if left > timedelta(0):
        await _ask_all(weather, run, [m for m in miners if m.state in _UNCOMMITTED], left)
        raise Later(run.commit_deadline, "miners reveal after the deadline")
    async with core.queue.completing(job) as conn:
        committed = await _close(conn, weather, run.run_id)
    return TaskResult(event="commitments_closed", detail={"committed": committed, "of": len(miners)})


async def _ask_all(weather: WeatherContext, run: Run, waiting: list[RunMiner], left: timedelta) -> None:
    """Ask each miner at its own pace, so that a slow one cannot make the others late."""
    room = asyncio.Semaphore(weather.core.miner_concurrency)
    try:
        async with asyncio.timeout(left.total_seconds()), asyncio.TaskGroup() as group:
            presence = group.create_task(_note_presence(weather, run))
            asks = [group.create_task(_ask_until_committed(weather, run, miner, room)) for miner in waiting]
            await asyncio.gather(*asks)
            presence.cancel()
    except TimeoutError:
        return


async def _note_presence(weather: WeatherContext, run: Run) -> None:
    while True:
        try:
            async with weather.core.database.acquire() as conn:
                await set_polled(conn, run.run_id, weather.core.clock.now())
        except Exception as error:  # noqa: BLE001  a service loop: the database comes back before the deadline, or we were away
            weather.core.log.warning("presence_not_noted", error=str(error))
        await weather.core.clock.sleep(weather.settings.poll_interval.total_seconds())


async def _ask_until_committed(weather: WeatherContext, run: Run, miner: RunMiner, room: asyncio.Semaphore) -> None:
    while True:
        pause = weather.settings.poll_interval
        try:
            if await _has_committed(weather, run, miner, room):
                return
        except Exception as error:  # noqa: BLE001  a service loop: no trouble with one miner may end the asking of the others
            pause = max(pause, _PAUSE_IN_TROUBLE)
            weather.core.log.warning("commitment_poll_failed", hotkey=miner.hotkey, error=repr(error))
        await weather.core.clock.sleep(pause.total_seconds())


async def _has_committed(weather: WeatherContext, run: Run, miner: RunMiner, room: asyncio.Semaphore) -> bool:
    try:
        async with room:
            commitment = await weather.miners.fetch_commitment(address_of(miner), run.run_id)
    except GaiaError as error:
        async with weather.core.database.acquire() as conn:
            await note_trouble(conn, run.run_id, miner.hotkey, error)
        return False
    if commitment is None or commitment.received_at > run.commit_deadline:
        return False
    async with weather.core.database.acquire() as conn:
        await record_commitment(conn, run.run_id, miner.hotkey, commitment.digest, commitment.received_at)
    return True


async def _close(conn: Connection, weather: WeatherContext, run_id: str) -> int:
    core = weather.core
    run = await load_run(conn, run_id, lock=True)
    committed = 0
    for miner in await load_miners(conn, run_id):
        if miner.state is MinerState.COMMITTED:
            committed += 1
            await core.queue.put(miner_job(Kind.FREEZE, run_id, miner.hotkey), conn=conn)
        elif miner.state in _UNCOMMITTED:
            code, reason, fault = _why_uncommitted(run, miner, weather.settings)
            await fail_miner(conn, run_id, miner.hotkey, code=code, reason=reason, fault=fault)
    await set_run_state(conn, run_id, RunState.SCORING)
    await combine_if_complete(conn, weather, run_id)
    return committed


def _why_uncommitted(run: Run, miner: RunMiner, settings: WeatherSettings) -> tuple[str, str, Fault]:
    deadline = f"{run.commit_deadline:%Y-%m-%d %H:%M:%S} UTC"
    if _was_away(run):
        return "commitment_unknown", f"the validator was not asking before {deadline}", Fault.VALIDATOR
    if run.commit_deadline - run.opened_at < settings.commit_window / 2:
        opened = f"{run.opened_at:%H:%M:%S}"
        return "asked_too_late", f"the validator opened the run at {opened}, too late for {deadline}", Fault.VALIDATOR
    if miner.reason_code and miner.fault:
        return miner.reason_code, f"no commitment by {deadline}: {miner.reason}", miner.fault
    if miner.state is MinerState.LISTED:  # every attempt to ask ends in an acknowledgement or a noted reason
        return "not_asked", f"the validator had not asked for the forecast by {deadline}", Fault.VALIDATOR
    return "no_commitment", f"no commitment by {deadline}", Fault.MINER


def _was_away(run: Run) -> bool:
    allowed = min(_ABSENCE, (run.commit_deadline - run.opened_at) / 2)
    return run.polled_at is None or run.commit_deadline - run.polled_at > allowed
