"""Decides whether a run is complete. Every step that advances a miner asks this; the last one puts the combine job."""

from __future__ import annotations

from datetime import datetime

from gaia.contracts.errors import Fault, GaiaError
from gaia.contracts.job import Connection, Job
from gaia.tasks.defined_tasks.base import TaskResult
from gaia.tasks.defined_tasks.weather.files.archive import SourceRole
from gaia.tasks.defined_tasks.weather.supply.catalogue import available_at
from gaia.tasks.defined_tasks.weather.validator.records.runs import (
    Run,
    RunState,
    fail_miner,
    load_run,
)
from gaia.tasks.defined_tasks.weather.validator.records.scores import is_waited_for, mark_scored
from gaia.tasks.defined_tasks.weather.validator.steps.lifecycle import Kind, run_job
from gaia.tasks.defined_tasks.weather.validator.weather_context import WeatherContext


async def combine_if_complete(conn: Connection, weather: WeatherContext, run_id: str) -> None:
    """Put the combine job if no due result is missing. Locks the run, so that one of two concurrent last steps sees it.

    This runs after each of a run's thousands of score jobs, so its queries must stay cheap.
    """
    run = await load_run(conn, run_id, lock=True)
    if run.state is not RunState.SCORING:
        return
    due = due_leads(run, weather)
    has_gate = run.spec.gate_lead_h is not None
    if len(due) == len(run.spec.scored_lead_h):
        await mark_scored(conn, run_id, due, has_gate=has_gate)
    if await is_waited_for(conn, run_id, due, has_gate=has_gate):
        return
    await weather.core.queue.put(run_job(Kind.COMBINE, run_id, suffix=f":{len(due)}"), conn=conn)


def due_leads(run: Run, weather: WeatherContext) -> set[int]:
    """The scored leads whose truth exists by now in the run's world."""
    return leads_due_at(run, weather.core.clock.now())


def leads_due_at(run: Run, wall_time: datetime) -> set[int]:
    """The scored leads whose truth exists at a time of the wall clock."""
    now = wall_time - run.world_offset
    return {lead for lead in run.spec.scored_lead_h if available_at(SourceRole.TRUTH, run.valid_time(lead)) <= now}


async def give_up_on_miner(job: Job, weather: WeatherContext, error: GaiaError) -> TaskResult:
    """Fail the job's miner in its run if another attempt is useless. Otherwise raise the error, for another attempt.

    Only the miner's own fault makes its score zero. If the fault is ours or a source's, its score is unknown.
    """
    if error.fault is Fault.MINER:
        final = not error.retryable or job.attempt >= job.max_attempts
    else:
        final = job.attempt >= job.max_attempts
    if not final:
        raise error
    run_id, hotkey = job.payload["run_id"], job.payload["hotkey"]
    async with weather.core.queue.completing(job) as conn:
        await load_run(conn, run_id, lock=True)  # before the miner's row, as everywhere; another order could deadlock
        await fail_miner(conn, run_id, hotkey, code=error.code, reason=str(error), fault=error.fault)
        await combine_if_complete(conn, weather, run_id)
    return TaskResult(event="miner_failed", detail={"code": error.code, "reason": str(error), "fault": error.fault})
