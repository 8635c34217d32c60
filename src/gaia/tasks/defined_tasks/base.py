"""What a new task must supply: durable steps, compute handlers, and how a unit that names a run is done.

A task lives in the IO-Engine and must not compute: numerics go into handlers, named by text and imported by workers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct
from structlog.typing import FilteringBoundLogger

from gaia.contracts.clock import Clock, WorldClock
from gaia.contracts.ids import Hotkey
from gaia.contracts.job import Connection, Job, NewJob, Queue
from gaia.contracts.ports import ChainPort, MinerPort, Signer
from gaia.contracts.unit import ResultUnit, WorkUnit


class Database(Protocol):
    """A pool of connections."""

    def acquire(self) -> AbstractAsyncContextManager[Connection]:
        """Borrow a connection."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """Borrow a connection inside a transaction: commits at the end, rolls back on an exception."""
        ...


class TaskContext(Struct, frozen=True, kw_only=True):
    """Everything a step may use. Built once, in the wiring."""

    netuid: int
    clock: Clock
    world: WorldClock
    database: Database
    queue: Queue
    chain: ChainPort
    miners: MinerPort
    signer: Signer
    compute: Callable[[WorkUnit], Awaitable[ResultUnit]]
    """Runs a unit as it is."""
    data_dir: Path
    log: FilteringBoundLogger


class TaskResult(Struct, frozen=True, kw_only=True):
    """What a step achieved, for the log."""

    event: str
    """A past-tense constant such as `forecast_verified`."""
    detail: Mapping[str, Any] = {}


class MinerScore(Struct, frozen=True, kw_only=True):
    """What a task makes of a miner."""

    hotkey: Hotkey
    score: float | None
    """0 to 1. None: not known, by no fault of the miner."""
    reason_code: str | None
    """Why it is zero; every zero has one."""
    reason: str | None


Step = Callable[[Job, TaskContext], Awaitable[TaskResult]]
"""Does one durable job. It must finish through `ctx.queue.completing(job)`, or raise: `Later` to wait without using up
an attempt, `Permanent` to give up, any other error to be tried again."""


SET_WEIGHTS = "validator.set_weights"
"""The kind of job that a task puts when its scores have changed; the validator itself does it."""


def set_weights_job(task: str, run_id: str, occasion: str) -> NewJob:
    """Have the weights set from a task's scores after a run; `occasion` tells several of one run apart."""
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
        """Job kind -> what does it."""
        ...

    async def due_jobs(self, ctx: TaskContext) -> Sequence[NewJob]:
        """Jobs that the schedule wants by now. Asked every few seconds; repeats are harmless, for a key is unique."""
        ...

    async def scores(self, run_id: str, conn: Connection) -> Sequence[MinerScore]:
        """Every miner's score as it stands after a run."""
        ...

    async def dispatch(self, unit: WorkUnit, ctx: TaskContext) -> ResultUnit | None:
        """Do a unit that names a run as the task's own job would, its effects included.

        None: the unit names no run, and is to be computed as it is.
        """
        ...
