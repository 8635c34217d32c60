"""A desk for single steps: a validator's adapters on a new database, no workers, and jobs done one by one by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gaia.chain.simulated import SimulatedChain
from gaia.contracts.clock import SystemClock
from gaia.contracts.ids import Hotkey
from gaia.contracts.job import Job, NewJob
from gaia.contracts.ports import Neuron, SubnetParameters
from gaia.contracts.unit import ResultUnit, WorkUnit
from gaia.protocol.keys import HotkeySigner, create_key_file
from gaia.protocol.run_spec import GridSpec
from gaia.tasks.defined_tasks.base import Step, TaskResult
from gaia.tasks.defined_tasks.weather.files.archive import ARCHIVE_HEADER
from gaia.tasks.defined_tasks.weather.policy.policy import DEFAULT_POLICY
from gaia.tasks.defined_tasks.weather.supply.catalogue import SourceRef, SourceSet
from gaia.tasks.defined_tasks.weather.validator.handlers.score_payloads import Era5Result, ScoredAgainst
from gaia.tasks.defined_tasks.weather.validator.records.runs import Run
from gaia.tasks.defined_tasks.weather.validator.records.scores import put_era5
from gaia.validator.app.wiring import Wired, wire
from gaia.validator.db.embedded import EmbeddedPostgres
from gaia.validator.set_weights import weight_steps
from tests.support.small_world import (
    PARAMETERS,
    insert_run_at,
    new_database,
    simulated_subnet,
    validator_settings,
)


class StepDesk:
    """What a test of single steps holds in its hands."""

    def __init__(self, wired: Wired, chain: SimulatedChain, signer: HotkeySigner, archive: SourceRef) -> None:
        self.wired = wired
        self.context = wired.context
        self.chain = chain
        self.signer = signer
        self.sources = SourceSet(truth=archive)
        self.steps: Mapping[str, Step] = {**weight_steps(wired.tasks, wired.shares), **wired.tasks[0].steps}

    async def claim(self, new: NewJob) -> Job:
        """Put a job, and take it."""
        await self.wired.queue.put(new)
        (job,) = await self.wired.queue.claim([new.kind], 1)
        assert job.key == new.key
        return job

    async def do(self, new: NewJob) -> TaskResult:
        """Put a job, take it and do it; raises what its step raises."""
        job = await self.claim(new)
        return await self.steps[job.kind](job, self.context)

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        """Rows of the database, as dictionaries."""
        async with self.context.database.acquire() as conn:
            return [dict(row) for row in await conn.fetch(query, *args)]

    async def execute(self, query: str, *args: Any) -> None:
        """Change the database."""
        async with self.context.database.acquire() as conn:
            await conn.execute(query, *args)

    async def waiting_jobs(self) -> list[str]:
        """Keys of the jobs that nobody has taken yet, in alphabetical order."""
        return [row["key"] for row in await self.fetch("SELECT key FROM job WHERE state = 'ready' ORDER BY key")]

    async def insert(self, run: Run, neurons: Sequence[Neuron]) -> None:
        """A run and its miners."""
        async with self.context.database.transaction() as conn:
            await insert_run_at(conn, run, neurons)

    async def score(self, run: Run, hotkey: str, lead_scores: Mapping[int, float]) -> None:
        """Lead scores of a miner, and its forecast verified."""
        async with self.context.database.transaction() as conn:
            await conn.execute(
                "UPDATE run_miner SET state = 'verified' WHERE run_id = $1 AND hotkey = $2", run.run_id, hotkey
            )
            for lead_h, lead_score in lead_scores.items():
                await put_era5(conn, run.run_id, hotkey, lead_result(lead_h, lead_score), DEFAULT_POLICY.digest())

    async def fail(self, run: Run, hotkey: str, *, fault: str = "miner", code: str = "no_commitment") -> None:
        """Put a miner out of a run."""
        await self.execute(
            "UPDATE run_miner SET state = 'failed', reason_code = $3, reason = 'because', fault = $4"
            " WHERE run_id = $1 AND hotkey = $2", run.run_id, hotkey, code, fault,
        )  # fmt: skip


def neuron(name: str, uid: int, *, registered_block: int = 1, endpoint: str | None = None) -> Neuron:
    """A miner as the chain lists it, its name in place of a hotkey."""
    return Neuron(
        uid=uid,
        hotkey=Hotkey(name),
        stake_tao=0.0,
        validator_permit=False,
        endpoint=endpoint,
        registered_block=registered_block,
        last_update_block=0,
    )


def lead_result(lead_h: int, lead_score: float) -> Era5Result:
    """What a worker returns for one lead of one field."""
    return Era5Result(
        lead_h=lead_h,
        fields=(("z", 500),),
        bias=(-1.5,),
        mae=(2.0,),
        rmse=(2.5,),
        coverage=(1.0,),
        acc=(None,),
        skill_clim=(None,),
        skill_ref=(None,),
        component=(lead_score,),
        lead_score=lead_score,
        policy_digest=DEFAULT_POLICY.digest(),
        against=ScoredAgainst(grid=GridSpec.global_grid(3.0), truth="blake3:0"),
    )


@asynccontextmanager
async def step_desk(
    server: EmbeddedPostgres, folder: Path, parameters: SubnetParameters = PARAMETERS, **settings: Any
) -> AsyncIterator[StepDesk]:
    """A new database, a chain with one subnet, and a validator's adapters, wired as in the IO-Engine."""
    signer = create_key_file(folder / "validator.json")
    archive = folder / "archive"
    archive.mkdir()
    (archive / ARCHIVE_HEADER).write_text("{}")
    async with new_database(server) as dsn, simulated_subnet(dsn, signer.hotkey, parameters) as chain:
        validator = validator_settings(folder, dsn, folder / "validator.json", **settings)
        async with wire(validator, SystemClock(), _no_worker) as wired:
            yield StepDesk(wired, chain, signer, SourceRef(format="archive", path=str(archive)))


async def _no_worker(unit: WorkUnit) -> ResultUnit:
    raise AssertionError(f"nothing should be computed here: {unit.handler}")
