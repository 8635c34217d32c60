"""The composition root of the IO-Engine: the only place where adapters are built and handed to those who use them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
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
from gaia.tasks.defined_tasks.weather.production import run_spec_of
from gaia.tasks.defined_tasks.weather.settings import WeatherSettings
from gaia.tasks.defined_tasks.weather.supply.catalogue import SourceRef, SourceSet, parse_source
from gaia.tasks.defined_tasks.weather.task import WeatherTask
from gaia.validator.db.pool import DatabasePool
from gaia.validator.db.queue import PostgresQueue
from gaia.validator.miners.communicator import ClientLimits, MinerCommunicator
from gaia.validator.utils.settings import Settings

_CONNECT_TIMEOUT_S = 30.0
_COMMAND_TIMEOUT_S = 60.0
_OF_THE_CHAIN_AND_LISTEN = 5


class Wired(Struct, frozen=True, kw_only=True):
    """Everything that an IO-Engine works with; closed by whoever opened it."""

    context: TaskContext
    tasks: tuple[GaiaTask, ...]
    queue: PostgresQueue
    database: DatabasePool


@asynccontextmanager
async def wire(
    settings: Settings, clock: Clock, compute: Callable[[WorkUnit], Awaitable[ResultUnit]]
) -> AsyncIterator[Wired]:
    """Build the adapters in the order in which they depend on one another, and close them in reverse."""
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
            world=WorldClock(clock, timedelta(seconds=settings.weather.world_offset_s)),
            database=database,
            queue=queue,
            chain=chain,
            miners=miners,
            signer=signer,
            compute=compute,
            data_dir=settings.data_dir,
            log=structlog.get_logger("task"),
        )
        yield Wired(context=context, tasks=(WeatherTask(_weather(settings)),), queue=queue, database=database)


def _signer(settings: Settings) -> HotkeySigner:
    if settings.hotkey_file is None:
        raise ConfigurationError("GAIA_HOTKEY_FILE is not set: make a key with `gaia key FILE` and name it here")
    return load_key_file(settings.hotkey_file)


def _weather(settings: Settings) -> WeatherSettings:
    told = settings.weather
    truth = _source("GAIA_TRUTH", told.truth)
    if truth is None:
        raise ConfigurationError("GAIA_TRUTH is not set: say where truth comes from, e.g. archive:/path or grib:/path")
    return WeatherSettings(
        spec=run_spec_of(told.run_spec_file),
        sources=SourceSet(
            truth=truth,
            reference=_source("GAIA_REFERENCE", told.reference),
            climatology=_source("GAIA_CLIMATOLOGY", told.climatology),
        ),
        opens_daily=told.schedule == "daily",
        commit_window=timedelta(seconds=told.commit_window_s),
        reveal_window=timedelta(seconds=told.reveal_window_s),
        miner_concurrency=settings.miner_concurrency,
    )


def _source(variable: str, text: str | None) -> SourceRef | None:
    try:
        return None if text is None else parse_source(text)
    except ConfigurationError as error:  # it was there when the settings were read
        raise ConfigurationError(f"{variable}: {error}") from error
