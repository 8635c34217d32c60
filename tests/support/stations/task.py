"""The task: three durable steps from request to scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from gaia.contracts.errors import GaiaError
from gaia.contracts.ids import RunId, parse_run_id, run_id_for
from gaia.contracts.job import Connection, Job, Later, NewJob
from gaia.contracts.ports import MinerAddress
from gaia.contracts.unit import ResultUnit, WorkUnit, value_of
from gaia.protocol.messages import custom_serializer, decode_answer
from gaia.tasks.defined_tasks.base import MinerScore, Step, TaskContext, TaskResult, set_weights_job
from tests.support.stations import records
from tests.support.stations.definition import StationsSection
from tests.support.stations.messages import MAX_BYTES, PATH, TemperatureForecast, TemperatureRequest

OPEN, COLLECT, SCORE = "stations.open_run", "stations.collect", "stations.score_run"
_PAUSE: Final = timedelta(seconds=0.5)


def job_of(kind: str, run_id: str) -> NewJob:
    return NewJob(kind=kind, key=f"{kind}:{run_id}", payload={"run_id": run_id}, priority=2)


class StationsTask:
    """The GaiaTask."""

    name = "stations"

    def __init__(self, section: StationsSection) -> None:
        section.refuse_incomplete()
        self._section = section

    @property
    def steps(self) -> Mapping[str, Step]:
        return {OPEN: self._open, COLLECT: self._collect, SCORE: self._score}

    async def due_jobs(self, ctx: TaskContext) -> Sequence[NewJob]:
        if ctx.runs_by_hand:
            return []
        midnight = ctx.world.now().replace(hour=0, minute=0, second=0, microsecond=0)
        return [job_of(OPEN, run_id_for(ctx.netuid, self.name, midnight))]

    async def newest_scored_run(self, netuid: int, conn: Connection) -> RunId | None:
        return await records.newest_scored(conn, netuid)

    async def scores(self, run_id: str, conn: Connection) -> Sequence[MinerScore]:
        return await records.load_scores(conn, run_id)

    async def dispatch(self, unit: WorkUnit, ctx: TaskContext) -> ResultUnit | None:
        return None

    async def _open(self, job: Job, ctx: TaskContext) -> TaskResult:
        run_id = job.payload["run_id"]
        miners = [n for n in await ctx.chain.neurons(ctx.netuid) if not n.validator_permit]
        async with ctx.queue.completing(job) as conn:
            window = timedelta(seconds=self._section.window_s)
            await records.insert_run(conn, run_id, ctx.clock.now(), window, miners)
            await ctx.queue.put(job_of(COLLECT, run_id), conn=conn)
        return TaskResult(event="stations_opened")

    async def _collect(self, job: Job, ctx: TaskContext) -> TaskResult:
        """Ask everybody who has not answered, again and again until the deadline."""
        run_id = job.payload["run_id"]
        async with ctx.database.acquire() as conn:
            deadline = (await records.load_run(conn, run_id))["deadline"]
            missing = [m for m in await records.load_miners(conn, run_id) if m["celsius"] is None]
        for miner in missing if ctx.clock.now() < deadline else ():
            await self._ask(miner, run_id, ctx)
        if ctx.clock.now() < deadline:
            raise Later(min(ctx.clock.now() + _PAUSE, deadline), "miners may still answer")
        async with ctx.queue.completing(job) as conn:
            await ctx.queue.put(job_of(SCORE, run_id), conn=conn)
        return TaskResult(event="stations_collected")

    async def _ask(self, miner: Any, run_id: str, ctx: TaskContext) -> None:
        request = custom_serializer(TemperatureRequest(run_id=RunId(run_id)))
        address = MinerAddress(hotkey=miner["hotkey"], endpoint=miner["endpoint"] or "")
        try:
            answer = await ctx.miners.ask(address, "POST", PATH, request, max_bytes=MAX_BYTES)
            celsius = decode_answer(answer, TemperatureForecast).celsius
        except GaiaError as error:
            ctx.log.info("stations_not_answered", hotkey=miner["hotkey"], error=str(error))
            return
        async with ctx.database.acquire() as conn:
            await records.keep_forecast(conn, run_id, miner["hotkey"], celsius)

    async def _score(self, job: Job, ctx: TaskContext) -> TaskResult:
        run_id = job.payload["run_id"]
        async with ctx.database.acquire() as conn:
            miners = await records.load_miners(conn, run_id)
        tomorrow = parse_run_id(run_id).init_time + timedelta(days=1)
        payload = {
            "truth": str(self._section.truth),
            "day": f"{tomorrow:%Y-%m-%d}",
            "forecasts": {m["hotkey"]: m["celsius"] for m in miners if m["celsius"] is not None},
        }
        rmse = value_of(await ctx.compute(WorkUnit(handler="stations.score", payload=payload)))
        async with ctx.queue.completing(job) as conn:
            await records.keep_scores(conn, run_id, rmse, ctx.clock.now())
            await ctx.queue.put(set_weights_job(self.name, run_id, "scored"), conn=conn)
        return TaskResult(event="stations_scored", detail={"miners": len(rmse)})
