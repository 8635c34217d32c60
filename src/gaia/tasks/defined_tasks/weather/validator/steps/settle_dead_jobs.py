"""When a job has died, its run must not wait for it for ever: the miner it was about, or the run, is let go.

A step that fails gives up on its miner itself. It cannot when its process was killed in the last attempt, or when it
raised what nobody thought of. A dead job is our fault, so nobody's score becomes zero of it: it is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence

from gaia.contracts.errors import Fault
from gaia.contracts.job import Job, NewJob
from gaia.tasks.defined_tasks.base import TaskContext, TaskResult
from gaia.tasks.defined_tasks.weather.validator.records.dead_jobs import DeadJob, load_awaited
from gaia.tasks.defined_tasks.weather.validator.records.runs import RunState, fail_miner, load_run, void_run
from gaia.tasks.defined_tasks.weather.validator.steps.lifecycle import Kind
from gaia.tasks.defined_tasks.weather.validator.steps.run_completion import combine_if_complete
from gaia.tasks.defined_tasks.weather.validator.weather_context import WeatherContext

_MINER_KINDS = (Kind.FREEZE, Kind.VERIFY, Kind.SCORE_DAY1, Kind.SCORE_ERA5)


async def due_releases(core: TaskContext) -> Sequence[NewJob]:
    """A job for each dead one that a run waits for."""
    async with core.database.acquire() as conn:
        dead = await load_awaited(conn, miner_kinds=_MINER_KINDS, collect_kind=Kind.COLLECT)
    return [_release_job(job) for job in dead]


async def release_run(job: Job, weather: WeatherContext) -> TaskResult:
    """Go on without what has died."""
    core = weather.core
    run_id, hotkey, why = job.payload["run_id"], job.payload["hotkey"], job.payload["why"]
    async with core.queue.completing(job) as conn:
        run = await load_run(conn, run_id, lock=True)
        if hotkey is not None:
            await fail_miner(conn, run_id, hotkey, code="job_died", reason=why, fault=Fault.VALIDATOR)
            await combine_if_complete(conn, weather, run_id)
        elif run.state is RunState.COLLECTING:
            await void_run(conn, run_id, f"the validator could not collect commitments: {why}", core.clock.now())
    core.log.error("run_released", run_id=run_id, hotkey=hotkey, why=why)
    return TaskResult(event="job_death_settled", detail={"why": why})


def _release_job(dead: DeadJob) -> NewJob:
    return NewJob(
        kind=Kind.RELEASE,
        key=f"{Kind.RELEASE}:{dead.job_id}",
        payload={
            "run_id": dead.run_id,
            "hotkey": dead.hotkey,
            "why": f"our job {dead.kind} died: {dead.last_error or 'no reason is known'}",
        },
    )
