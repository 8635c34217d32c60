"""Builds the IO-Engine's adapters (database, chain, miner client, queue) and passes them to their users.

This is the only place that names adapters of the validator.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog
from msgspec import Struct

from gaia.chain.simulated import SimulatedChain
from gaia.contracts.clock import Clock, WorldClock
from gaia.contracts.errors import ConfigurationError
from gaia.contracts.unit import ResultUnit, WorkUnit
from gaia.protocol.keys import HotkeySigner, load_key_file
from gaia.tasks.defined_tasks.base import GaiaTask, TaskContext
from gaia.tasks.defined_tasks.definition import BadTask, TaskDefinition
from gaia.tasks.defined_tasks.registry import defined_tasks, load
from gaia.validator.db.pool import DatabasePool
from gaia.validator.db.queue import PostgresQueue
from gaia.validator.miners.communicator import ClientLimits, MinerCommunicator
from gaia.validator.utils.settings import Settings
from gaia.validator.utils.task_shares import shares_of

_CONNECT_TIMEOUT_S = 30.0
_COMMAND_TIMEOUT_S = 60.0
_OF_THE_CHAIN_AND_LISTEN = 5


class Wired(Struct, frozen=True, kw_only=True):
    """Everything that an IO-Engine works with. `wire` closes it."""

    context: TaskContext
    tasks: tuple[GaiaTask, ...]
    shares: Mapping[str, float]
    """Of the emission, by task."""
    queue: PostgresQueue
    database: DatabasePool


@asynccontextmanager
async def wire(
    settings: Settings, clock: Clock, compute: Callable[[WorkUnit], Awaitable[ResultUnit]]
) -> AsyncIterator[Wired]:
    """Build the adapters in the order of their dependencies, and close them in reverse order."""
    dsn, signer = settings.database_dsn, _signer(settings)
    async with contextlib.AsyncExitStack() as stack:
        database = await DatabasePool.connect(
            dsn,
            min_size=2,
            max_size=settings.database_connections - _OF_THE_CHAIN_AND_LISTEN,
            connect_timeout_s=_CONNECT_TIMEOUT_S,
            command_timeout_s=_COMMAND_TIMEOUT_S,
        )
        stack.push_async_callback(database.close)
        chain = await SimulatedChain.connect(dsn)
        stack.push_async_callback(chain.close)
        miners = MinerCommunicator(
            signer,
            clock,
            allow_private_endpoints=settings.allow_private_endpoints,
            limits=ClientLimits(
                message_timeout_s=settings.miner_timeout_s,
                chunk_timeout_s=4 * settings.miner_timeout_s,
                max_exchanges=settings.miner_concurrency,
            ),
        )
        stack.push_async_callback(miners.close)
        owner = f"validator-{signer.hotkey}"
        queue = PostgresQueue(database, owner=owner, lease=timedelta(seconds=settings.job_lease_s), clock=clock)
        context = TaskContext(
            netuid=settings.netuid,
            clock=clock,
            runs_by_hand=settings.schedule == "manual",
            world=WorldClock(clock, timedelta(seconds=settings.world_offset_s)),
            database=database,
            queue=queue,
            chain=chain,
            miners=miners,
            miner_concurrency=settings.miner_concurrency,
            signer=signer,
            compute=compute,
            data_dir=settings.data_dir,
            log=structlog.get_logger("task"),
        )
        tasks = tuple(_built(definition, settings) for definition in defined_tasks(settings.tasks))
        shares = shares_of(settings.task_weights, [task.name for task in tasks])
        yield Wired(context=context, tasks=tasks, shares=shares, queue=queue, database=database)


def _built(definition: TaskDefinition, settings: Settings) -> GaiaTask:
    """The task of a definition; raises ConfigurationError for what it cannot run without."""
    task: GaiaTask = load(definition.build)(definition.section(settings.task_settings))
    strange = [kind for kind in task.steps if not kind.startswith(f"{definition.name}.")]
    if task.name != definition.name or strange:
        raise BadTask(f"the task {definition.name} has another name, or steps that do not begin with it: {strange}")
    return task


def _signer(settings: Settings) -> HotkeySigner:
    if settings.hotkey_file is None:
        raise ConfigurationError("GAIA_HOTKEY_FILE is not set: make a key with `gaia key FILE` and set it to that file")
    return load_key_file(settings.hotkey_file)
