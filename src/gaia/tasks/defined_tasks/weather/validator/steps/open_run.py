"""Step 1: open a run. This fixes the specification, the miners and the deadlines for all later steps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time

from gaia.contracts.ids import parse_run_id, run_id_for
from gaia.contracts.job import Job, NewJob
from gaia.contracts.ports import Neuron
from gaia.protocol.forecast_messages import WEATHER
from gaia.tasks.defined_tasks.base import TaskResult
from gaia.tasks.defined_tasks.weather.validator.records.runs import Run, RunState, insert_run
from gaia.tasks.defined_tasks.weather.validator.steps.lifecycle import Kind, run_job
from gaia.tasks.defined_tasks.weather.validator.weather_context import WeatherContext

OPENING_TIME = time(18, 5, tzinfo=UTC)
"""By then the GFS analysis of 12Z is complete, from which miners may start."""

INIT_HOUR = 12


def due_run(netuid: int, world_now: datetime) -> NewJob | None:
    """The run that should be open by now, if any.

    A daily run is due from 18:05 UTC to midnight of its day. Opened later, it would leave miners too little time.
    """
    if world_now.timetz() < OPENING_TIME:
        return None
    init_time = world_now.replace(hour=INIT_HOUR, minute=0, second=0, microsecond=0)
    return run_job(Kind.OPEN_RUN, run_id_for(netuid, WEATHER, init_time))


async def open_run(job: Job, weather: WeatherContext) -> TaskResult:
    """Write the run and its snapshot of miners, and put its first jobs into the queue, in one transaction."""
    core = weather.core
    run = _new_run(job.payload["run_id"], weather)
    miners = _askable(await core.chain.neurons(core.netuid), own_hotkey=core.signer.hotkey)
    async with core.queue.completing(job) as conn:
        if await insert_run(conn, run, miners):
            await core.queue.put(run_job(Kind.REQUEST, run.run_id), run_job(Kind.COLLECT, run.run_id), conn=conn)
    return TaskResult(
        event="run_opened", detail={"miners": len(miners), "commit_deadline": run.commit_deadline.isoformat()}
    )


def _new_run(run_id: str, weather: WeatherContext) -> Run:
    settings, core = weather.settings, weather.core
    name = parse_run_id(run_id)
    commit_deadline = _commit_deadline(weather, name.init_time, core.clock.now())
    return Run(
        run_id=run_id_for(*name),
        netuid=name.netuid,
        init_time=name.init_time,
        spec=settings.spec,
        spec_digest=settings.spec.digest(),
        policy_digest=settings.policy.digest(),
        sources=settings.sources,
        world_offset=core.world.offset,
        opened_at=core.clock.now(),
        commit_deadline=commit_deadline,
        reveal_deadline=commit_deadline + settings.reveal_window,
        state=RunState.COLLECTING,
    )


def _commit_deadline(weather: WeatherContext, init_time: datetime, now: datetime) -> datetime:
    """The deadline for all miners. For a daily run it is the same for all validators: 20:05 UTC of the run's world."""
    if weather.core.runs_by_hand:
        return now + weather.settings.commit_window
    opening = datetime.combine(init_time.date(), OPENING_TIME)
    return weather.core.world.wall_time(opening + weather.settings.commit_window)


def _askable(neurons: Sequence[Neuron], own_hotkey: str) -> Sequence[Neuron]:
    """All neurons but validators, who are paid for other work."""
    return [n for n in neurons if not n.validator_permit and n.hotkey != own_hotkey]
