"""What a task must supply: durable steps, compute handlers, and a way to do units that name a run.

A task lives in the IO-Engine and must not compute. Its numerics go into handlers, which are named by text and imported
by workers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct
from structlog.typing import FilteringBoundLogger

from gaia.contracts.clock import Clock, WorldClock
from gaia.contracts.ids import Hotkey, RunId
from gaia.contracts.job import Connection, Job, NewJob, Queue
from gaia.contracts.ports import ChainPort, MinerPort, Signer
from gaia.contracts.unit import ResultUnit, WorkUnit


class Database(Protocol):
    """A pool of connections."""

    def acquire(self) -> AbstractAsyncContextManager[Connection]:
        """Borrow a connection."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """Borrow a connection in a transaction. It commits at the end, and rolls back on an exception."""
        ...


class TaskContext(Struct, frozen=True, kw_only=True):
    """Everything that a step may use. The wiring builds it once."""

    netuid: int
    clock: Clock
    world: WorldClock
    runs_by_hand: bool
    """The schedule is `manual`: a task opens no run on its own."""
    database: Database
    queue: Queue
    chain: ChainPort
    miners: MinerPort
    miner_concurrency: int
    """The number of miners to contact at the same time."""
    signer: Signer
    compute: Callable[[WorkUnit], Awaitable[ResultUnit]]
    """Runs a unit unchanged, without `dispatch`."""
    data_dir: Path
    log: FilteringBoundLogger


class TaskResult(Struct, frozen=True, kw_only=True):
    """The outcome of a step, for the log."""

    event: str
    """A past-tense constant such as `forecast_verified`."""
    detail: Mapping[str, Any] = {}


class MinerScore(Struct, frozen=True, kw_only=True):
    """The score that a task gives to a miner."""

    hotkey: Hotkey
    score: float | None
    """0 to 1. None: not known, by no fault of the miner."""
    reason_code: str | None
    """Why the score is zero. Every zero has a reason."""
    reason: str | None


Step = Callable[[Job, TaskContext], Awaitable[TaskResult]]
"""Does one durable job. It must finish through `ctx.queue.completing(job)`, or raise an error: `Later` to wait without
using up an attempt, `Permanent` to give up, any other error to be tried again."""


SET_WEIGHTS = "validator.set_weights"
"""The kind of job that a task puts when its scores have changed. The validator itself does the job."""


def set_weights_job(task: str, run_id: str, occasion: str) -> NewJob:
    """A job that sets the weights from a task's scores after a run. `occasion` tells several jobs of one run apart."""
    return NewJob(
        kind=SET_WEIGHTS,
        key=f"{SET_WEIGHTS}:{run_id}:{occasion}",
        payload={"task": task, "run_id": run_id},
        priority=1,  # not behind a backlog of scoring
    )


class GaiaTask(Protocol):
    """One kind of work that miners are paid for."""

    @property
    def name(self) -> str: ...

    @property
    def steps(self) -> Mapping[str, Step]:
        """Job kind -> the step that does it."""
        ...

    async def due_jobs(self, ctx: TaskContext) -> Sequence[NewJob]:
        """The jobs that are due by the schedule. Called every few seconds; repeats are harmless, as keys are unique."""
        ...

    async def newest_scored_run(self, netuid: int, conn: Connection) -> RunId | None:
        """The run whose scores count now: the newest with a score above zero. None: there is no such run."""
        ...

    async def scores(self, run_id: str, conn: Connection) -> Sequence[MinerScore]:
        """The score of every miner after a run."""
        ...

    async def dispatch(self, unit: WorkUnit, ctx: TaskContext) -> ResultUnit | None:
        """Do a unit that names a run, as the task's own job would, and write its effects.

        Returns:
            The result, or None if the unit names no run. The caller then computes the unit unchanged.
        """
        ...
