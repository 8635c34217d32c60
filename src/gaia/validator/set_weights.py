"""Step 8 of a run: turn scores into weights, set them on the chain, and read them back.

"No data" is not "zero": an anomalous vector is not set; the last good one is set again, with an alarm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from gaia.contracts.errors import ValidatorFault
from gaia.contracts.ids import Hotkey
from gaia.contracts.job import Job, Later, NewJob
from gaia.contracts.ports import ChainRefused
from gaia.tasks.defined_tasks.base import SET_WEIGHTS, GaiaTask, MinerScore, Step, TaskContext, TaskResult
from gaia.validator.db.weight_sets import (
    WeightSet,
    insert_weight_set,
    last_good,
    load_weight_set,
    mark_read_back,
    raise_alarm,
)
from gaia.validator.weights import anomaly, emission_weights, to_u16

READ_BACK = "validator.read_back_weights"

_RATE_LIMIT_PAUSE = timedelta(seconds=5)
_READ_BACK_PAUSE = timedelta(seconds=1)
_READ_BACK_WITHIN = timedelta(minutes=30)


class NoWeights(ValidatorFault):
    """There is nothing sound to set."""

    retryable = True


def weight_steps(tasks: Sequence[GaiaTask]) -> Mapping[str, Step]:
    """The steps that every task shares."""
    by_name = {task.name: task for task in tasks}

    async def set_weights_of(job: Job, ctx: TaskContext) -> TaskResult:
        return await set_weights(job, ctx, by_name[job.payload["task"]])

    return {SET_WEIGHTS: set_weights_of, READ_BACK: read_back_weights}


async def set_weights(job: Job, ctx: TaskContext, task: GaiaTask) -> TaskResult:
    """Submit the weights that follow from the task's scores."""
    run_id = job.payload["run_id"]
    neurons = await ctx.chain.neurons(ctx.netuid)
    uids = {neuron.hotkey: neuron.uid for neuron in neurons}
    async with ctx.database.acquire() as conn:
        scores = await task.scores(run_id, conn)
        previous = await last_good(conn, ctx.netuid)
    emission, alarm = _sound(scores, uids, previous)
    submitted = to_u16({uids[hotkey]: weight for hotkey, weight in emission.items() if weight > 0.0})
    await _submit(ctx, submitted)
    async with ctx.queue.completing(job) as conn:
        weight_set_id = await insert_weight_set(
            conn, netuid=ctx.netuid, run_id=run_id, emission=emission, submitted=submitted,
            submitted_at=ctx.clock.now(), alarm=alarm,
        )  # fmt: skip
        await ctx.queue.put(_read_back_job(run_id, weight_set_id), conn=conn)
    return TaskResult(event="weights_set", detail={"uids": len(submitted), "alarm": alarm})


async def read_back_weights(job: Job, ctx: TaskContext) -> TaskResult:
    """See whether the chain holds what was submitted; raise an alarm if it does not in time."""
    weight_set_id = job.payload["weight_set_id"]
    async with ctx.database.acquire() as conn:
        wanted = await load_weight_set(conn, weight_set_id)
    row = await ctx.chain.weights(ctx.netuid, ctx.signer.hotkey)
    if row is not None and dict(row.weights) == dict(wanted.submitted):
        async with ctx.queue.completing(job) as conn:
            await mark_read_back(conn, weight_set_id, ctx.clock.now())
        return TaskResult(event="weights_read_back", detail={"block": row.last_update_block})
    if ctx.clock.now() < wanted.submitted_at + _READ_BACK_WITHIN:
        raise Later(ctx.clock.now() + _READ_BACK_PAUSE, "the chain does not show the weights yet")
    async with ctx.queue.completing(job) as conn:
        await raise_alarm(conn, weight_set_id, "the chain does not hold what was submitted")
    ctx.log.error("weights_missing_on_chain", weight_set_id=weight_set_id)
    return TaskResult(event="weights_not_read_back")


def _sound(
    scores: Sequence[MinerScore], uids: Mapping[Hotkey, int], previous: WeightSet | None
) -> tuple[Mapping[Hotkey, float], str | None]:
    """The weights to set and, when they are not the new ones, why."""
    emission = emission_weights({miner.hotkey: miner.score for miner in scores if miner.hotkey in uids})
    explained = {miner.hotkey for miner in scores if miner.reason_code is not None}
    alarm = anomaly(emission, previous.emission if previous else None, explained_zeros=explained)
    if alarm is None:
        return emission, None
    kept = {hotkey: weight for hotkey, weight in (previous.emission if previous else {}).items() if hotkey in uids}
    total = sum(kept.values())
    if total <= 0.0:
        raise NoWeights(f"the new weights are anomalous ({alarm}), and there are no good ones to set again")
    return {hotkey: weight / total for hotkey, weight in kept.items()}, alarm


async def _submit(ctx: TaskContext, submitted: Mapping[int, int]) -> None:
    """Set the weights, unless an attempt that was cut short has set them already."""
    if await _is_on_chain(ctx, submitted):
        return
    parameters = await ctx.chain.parameters(ctx.netuid)
    try:
        await ctx.chain.set_weights(ctx.netuid, ctx.signer, submitted, parameters.weights_version)
    except ChainRefused as refusal:
        if refusal.retryable:
            raise Later(ctx.clock.now() + _RATE_LIMIT_PAUSE, str(refusal)) from refusal
        raise


async def _is_on_chain(ctx: TaskContext, submitted: Mapping[int, int]) -> bool:
    row = await ctx.chain.weights(ctx.netuid, ctx.signer.hotkey)
    parameters = await ctx.chain.parameters(ctx.netuid)
    fresh = row is not None and await ctx.chain.block() - row.last_update_block < parameters.weights_rate_limit_blocks
    return fresh and row is not None and dict(row.weights) == dict(submitted)


def _read_back_job(run_id: str, weight_set_id: int) -> NewJob:
    return NewJob(
        kind=READ_BACK,
        key=f"{READ_BACK}:{weight_set_id}",
        payload={"run_id": run_id, "weight_set_id": weight_set_id},
        priority=1,
    )
