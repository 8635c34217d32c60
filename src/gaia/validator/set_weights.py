"""Step 8 of a run: turn scores into weights, set them on the chain, and read them back.

An anomalous weight vector is not set, because missing data must not count as zero. The last good vector is set again
instead, with an alarm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from msgspec import Struct

from gaia.contracts.errors import ValidatorFault
from gaia.contracts.ids import Hotkey, RunId
from gaia.contracts.job import Connection, Job, Later, NewJob
from gaia.contracts.ports import ChainRefused
from gaia.tasks.defined_tasks.base import SET_WEIGHTS, GaiaTask, MinerScore, Step, TaskContext, TaskResult
from gaia.validator.db.weight_sets import (
    WeightPart,
    WeightSet,
    insert_weight_set,
    is_superseded,
    last_good,
    last_sound,
    load_weight_set,
    mark_read_back,
    raise_alarm,
)
from gaia.validator.weights import anomaly, combined_emission, emission_weights, shares_in_use, to_u16

READ_BACK = "validator.read_back_weights"

_RATE_LIMIT_PAUSE = timedelta(seconds=5)
_READ_BACK_PAUSE = timedelta(seconds=1)
_READ_BACK_WITHIN = timedelta(minutes=30)


class NoWeights(ValidatorFault):
    """There is no sound weight vector to set."""

    retryable = True


def weight_steps(tasks: Sequence[GaiaTask], shares: Mapping[str, float]) -> Mapping[str, Step]:
    """The steps that all tasks share. `shares`: task -> its share of the emission."""

    async def set_weights_of(job: Job, ctx: TaskContext) -> TaskResult:
        return await set_weights(job, ctx, tasks, shares)

    return {SET_WEIGHTS: set_weights_of, READ_BACK: read_back_weights}


async def set_weights(job: Job, ctx: TaskContext, tasks: Sequence[GaiaTask], shares: Mapping[str, float]) -> TaskResult:
    """Submit the weights that follow from the run whose scores have changed and from the other tasks' newest runs."""
    neurons = await ctx.chain.neurons(ctx.netuid)
    uids = {neuron.hotkey: neuron.uid for neuron in neurons}
    async with ctx.database.acquire() as conn:
        scored = [found for task in tasks if (found := await _scored(task, job, ctx, conn)) is not None]
        previous = await last_good(conn, ctx.netuid)
        earlier = await last_sound(conn, ctx.netuid)
    parts = _parts(scored, uids, shares)
    emission, alarm = _sound(parts, scored, uids, previous, earlier)
    submitted = to_u16({uids[hotkey]: weight for hotkey, weight in emission.items() if weight > 0.0})
    await _submit(ctx, submitted)
    async with ctx.queue.completing(job) as conn:
        weight_set_id = await insert_weight_set(
            conn, netuid=ctx.netuid, parts=parts, emission=emission, submitted=submitted,
            submitted_at=ctx.clock.now(), alarm=alarm,
        )  # fmt: skip
        await ctx.queue.put(_read_back_job(job.payload["run_id"], weight_set_id), conn=conn)
    return TaskResult(event="weights_set", detail={"uids": len(submitted), "alarm": alarm})


async def read_back_weights(job: Job, ctx: TaskContext) -> TaskResult:
    """Check whether the chain holds the submitted weights. If it does not in time, store an alarm."""
    weight_set_id = job.payload["weight_set_id"]
    async with ctx.database.acquire() as conn:
        wanted = await load_weight_set(conn, weight_set_id)
    row = await ctx.chain.weights(ctx.netuid, ctx.signer.hotkey)
    if row is not None and dict(row.weights) == dict(wanted.submitted):
        async with ctx.queue.completing(job) as conn:
            await mark_read_back(conn, weight_set_id, ctx.clock.now())
        return TaskResult(event="weights_read_back", detail={"block": row.last_update_block})
    async with ctx.database.acquire() as conn:
        superseded = await is_superseded(conn, wanted)
    if superseded:  # two tasks may have scores at the same moment
        async with ctx.queue.completing(job):
            return TaskResult(event="weights_superseded")
    if ctx.clock.now() < wanted.submitted_at + _READ_BACK_WITHIN:
        raise Later(ctx.clock.now() + _READ_BACK_PAUSE, "the chain does not show the weights yet")
    async with ctx.queue.completing(job) as conn:
        await raise_alarm(conn, weight_set_id, "the chain does not hold what was submitted")
    ctx.log.error("weights_missing_on_chain", weight_set_id=weight_set_id)
    return TaskResult(event="weights_not_read_back")


class _Scored(Struct, frozen=True, kw_only=True):
    """A task's scores after a run."""

    task: str
    run_id: RunId
    scores: Sequence[MinerScore]


async def _scored(task: GaiaTask, job: Job, ctx: TaskContext, conn: Connection) -> _Scored | None:
    """The scores of a task that count now. None: there are none."""
    if task.name == job.payload["task"]:
        run_id: RunId | None = job.payload["run_id"]
    else:
        run_id = await task.newest_scored_run(ctx.netuid, conn)
    if run_id is None:
        return None
    return _Scored(task=task.name, run_id=run_id, scores=await task.scores(run_id, conn))


def _parts(scored: Sequence[_Scored], uids: Mapping[Hotkey, int], shares: Mapping[str, float]) -> Sequence[WeightPart]:
    """The contribution of each task. A run in which nobody earns anything is included, with the share 0."""
    emissions = {
        each.task: emission_weights({miner.hotkey: miner.score for miner in each.scores if miner.hotkey in uids})
        for each in scored
    }
    in_use = shares_in_use(shares, emissions)
    return [
        WeightPart(task=each.task, run_id=each.run_id, share=in_use.get(each.task, 0.0), emission=emissions[each.task])
        for each in scored
    ]


def _sound(
    parts: Sequence[WeightPart],
    scored: Sequence[_Scored],
    uids: Mapping[Hotkey, int],
    previous: WeightSet | None,
    earlier: WeightSet | None,
) -> tuple[Mapping[Hotkey, float], str | None]:
    """The weights to set, and the reason if they are not the new ones.

    `previous` are the last that the chain held, to be set again. `earlier` are the last that followed from scores: the
    new ones are compared with them.
    """
    shares = {part.task: part.share for part in parts if part.share > 0.0}
    emission = combined_emission(shares, {part.task: part.emission for part in parts})
    # A miner with zero in all tasks that count needs a reason from each of them.
    unexplained = {
        miner.hotkey for each in scored if each.task in shares for miner in each.scores if miner.reason_code is None
    }
    alarm = anomaly(emission, _as_shared_now(shares, parts, earlier), explained_zeros=emission.keys() - unexplained)
    if alarm is None:
        return emission, None
    kept = {hotkey: weight for hotkey, weight in (previous.emission if previous else {}).items() if hotkey in uids}
    total = sum(kept.values())
    if total <= 0.0:
        raise NoWeights(f"the new weights are anomalous ({alarm}), and there are no good ones to set again")
    return {hotkey: weight / total for hotkey, weight in kept.items()}, alarm


def _as_shared_now(
    shares: Mapping[str, float], parts: Sequence[WeightPart], earlier: WeightSet | None
) -> Mapping[Hotkey, float] | None:
    """The earlier weights of each task under the present shares, so that a change of the shares is no movement.

    A task that had no weights then is taken as it is now: it has none to move from.
    """
    if earlier is None:
        return None
    then = {part.task: part.emission for part in earlier.parts if part.emission}
    return combined_emission(shares, {part.task: then.get(part.task, part.emission) for part in parts})


async def _submit(ctx: TaskContext, submitted: Mapping[int, int]) -> None:
    """Set the weights, unless an interrupted earlier attempt has already set them."""
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
