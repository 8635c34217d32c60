"""The IO-Engine: does all network, database and scheduling work on one uvloop, and makes the decisions.

It computes nothing itself. `IOEngine` can be used alone (`async with IOEngine(settings, local_workers=1) as engine`),
or as the process that the supervisor starts: `python -m gaia.validator.app.io_engine`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from datetime import timedelta
from types import TracebackType
from typing import Self

import msgspec
import structlog
import uvloop

from gaia.contracts.clock import Clock, SystemClock
from gaia.contracts.errors import ConfigurationError, GaiaError, SourceFault, ValidatorFault
from gaia.contracts.job import Later
from gaia.contracts.parent_death import die_with_parent
from gaia.contracts.unit import ResultUnit, UnitError, UnitFailed, WorkUnit
from gaia.validator.app.compute.compute_pool import ComputePool
from gaia.validator.app.compute.pool_settings import PoolSettings
from gaia.validator.app.compute.process_pool import ProcessPool
from gaia.validator.app.jobs.dispatcher import Dispatcher
from gaia.validator.app.jobs.scheduler import Scheduler
from gaia.validator.app.logging_config import configure_logging
from gaia.validator.app.machine.disk_space import DiskSpace
from gaia.validator.app.services.cache_keeper import CacheKeeper
from gaia.validator.app.services.database_monitor import DatabaseMonitor
from gaia.validator.app.services.event_loop_lag import LoopLagMonitor
from gaia.validator.app.services.loop_stall import StallReporter
from gaia.validator.app.telemetry.engine_snapshot import EngineSnapshot, Refusal, SnapshotSender
from gaia.validator.app.wiring import Wired, wire
from gaia.validator.db.stats import DatabaseStatsManager
from gaia.validator.set_weights import weight_steps
from gaia.validator.utils.settings import Settings

_SNAPSHOT_EVERY_S = 1.0
_CLOSE_S = 60.0
_STALL_SHOWN_AT = 1 / 6
"""The part of the stall limit after which the stacks go to stderr, well before the supervisor kills the engine."""


class NotStarted(ValidatorFault):
    """The engine was used before `start` or after `close`."""


class IOEngine:
    """The engine. `dispatch_and_wait` does one unit; `serve` works through the durable jobs."""

    def __init__(self, settings: Settings, *, local_workers: int = 0, clock: Clock | None = None) -> None:
        """`local_workers`: the number of compute workers that the engine itself starts, on a private socket.

        0: it waits for the workers of the supervisor. An engine with workers of its own must be created in the main
        thread.
        """
        self._settings = settings
        self._local_workers = local_workers
        self._clock = clock or SystemClock()
        self._lag = LoopLagMonitor(self._clock)
        self._stack = contextlib.AsyncExitStack()
        self._wired: Wired | None = None
        self._pool: ComputePool | ProcessPool | None = None
        self._dispatcher: Dispatcher | None = None
        self._database_monitor: DatabaseMonitor | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Connect to everything. Afterwards units may be submitted. Leaves nothing open if it fails.

        Raises:
            ConfigurationError: A setting cannot be used (operator's fault).
        """
        try:
            self._pool = await self._start_pool()
            self._wired = await self._stack.enter_async_context(wire(self._settings, self._clock, self._pool.run))
        except BaseException:
            await self.close()
            raise
        self._lag.start()
        self._stack.callback(self._lag.stop)

    async def close(self) -> None:
        """Close all connections. Running units fail. May be called twice."""
        self._wired = None
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._stack.aclose()
        except TimeoutError:
            structlog.get_logger("io_engine").warning("close_timed_out", after_s=_CLOSE_S)

    async def dispatch_and_wait(self, unit: WorkUnit) -> ResultUnit:
        """Do a unit and wait for its result. A failure is a result with an error, not an exception.

        A unit that names a run, as `weather.score.era5` may, is done in the same way as by the run's own job: when this
        returns, its scores are in the database, and the run is complete if they were the last.
        """
        wired = self._require()
        task = next((t for t in wired.tasks if unit.handler.startswith(f"{t.name}.")), None)
        try:
            result = None if task is None else await task.dispatch(unit, wired.context)
            if result is None:
                result = await wired.context.compute(unit)
        except Later as later:
            return _failed(unit, NotYet(str(later)))
        except GaiaError as error:
            return _failed(unit, error)
        except msgspec.ValidationError as error:
            return _failed(unit, BadUnit(f"the payload of {unit.handler}: {error}"))
        return msgspec.structs.replace(result, unit_id=unit.unit_id)

    async def serve(self, stop: asyncio.Event) -> None:
        """Work through the durable jobs and the schedule until `stop` is set. Then drain within the grace time."""
        wired = self._require()
        await wired.queue.reclaim()
        disk = DiskSpace(self._settings.data_dir, structlog.get_logger("disk_space"))
        steps = {
            **weight_steps(wired.tasks, wired.shares),
            **{k: s for task in wired.tasks for k, s in task.steps.items()},
        }
        self._dispatcher = Dispatcher(
            queue=wired.queue,
            steps=steps,
            context=wired.context,
            concurrency=self._settings.job_concurrency,
            lease=timedelta(seconds=self._settings.job_lease_s),
            may_begin=lambda: not disk.look(),
        )
        scheduler = Scheduler(wired.tasks, wired.context)
        caches = CacheKeeper(
            self._settings.data_dir / "cache",
            forecast_limit_bytes=self._settings.forecast_cache_mib * 1024 * 1024,
            clock=self._clock,
        )
        self._database_monitor = DatabaseMonitor(DatabaseStatsManager(wired.database, wired.queue), self._clock)
        async with asyncio.TaskGroup() as group:
            services = [
                group.create_task(wired.queue.listen(self._dispatcher.wake), name="job-listener"),
                group.create_task(scheduler.run(), name="scheduler"),
                group.create_task(caches.run(), name="cache-keeper"),
                group.create_task(self._database_monitor.run(), name="database-monitor"),
            ]
            await self._dispatcher.run(stop, self._settings.drain_grace_s)
            for service in services:
                service.cancel()

    def snapshot(self) -> EngineSnapshot:
        """The present state of the engine, for the metrics."""
        pool = self._pool
        if pool is None:
            raise NotStarted("the engine has not been started")
        statistics = pool.statistics()
        return EngineSnapshot(
            monotonic_s=self._clock.monotonic(),
            loop_lag=self._lag.snapshot(),
            queue_depths={"compute": statistics.waiting, "compute_admission": statistics.submitters},
            compute_durations=statistics.durations,
            compute_waits=statistics.waits,
            running=statistics.running,
            units_done=statistics.units_done,
            units_failed=statistics.units_failed,
            units_timed_out=statistics.timed_out,
            units_over_memory=statistics.memory_exceeded,
            workers_lost=statistics.workers_lost,
            workers_retired=statistics.retired,
            workers_standing_by=statistics.standing_by,
            jobs_in_progress=self._dispatcher.in_progress if self._dispatcher else 0,
            database=self._database_monitor.last if self._database_monitor else None,
        )

    async def _start_pool(self) -> ComputePool | ProcessPool:
        told = self._settings
        settings = PoolSettings(
            compute_workers=told.compute_workers if told.compute_spares else None,
            recycle_units=told.recycle_units,
            worker_soft_memory_bytes=told.worker_soft_memory_bytes,
            worker_hard_memory_bytes=told.worker_hard_memory_bytes,
        )
        if self._local_workers:
            return await self._stack.enter_async_context(
                ProcessPool(
                    ",".join(told.tasks),
                    compute_workers=self._local_workers,
                    compute_spares=told.compute_spares,
                    settings=settings,
                    cache_dir=told.worker_cache_dir,
                )
            )
        pool = ComputePool(socket_path=told.engine_socket, settings=settings)
        await pool.start()
        self._stack.push_async_callback(pool.close)
        return pool

    def _require(self) -> Wired:
        if self._wired is None:
            raise NotStarted("the engine has not been started: use it in `async with`, or call start()")
        return self._wired


class NotYet(SourceFault):
    """The data that a unit needs are not published yet."""

    retryable = True


class BadUnit(ValidatorFault):
    """A unit's payload does not have the fields that its handler expects."""


def _failed(unit: WorkUnit, error: GaiaError) -> ResultUnit:
    if isinstance(error, UnitFailed):
        return ResultUnit(unit_id=unit.unit_id, handler=unit.handler, error=error.error)
    told = UnitError(code=error.code, message=str(error), fault=error.fault, retryable=error.retryable)
    return ResultUnit(unit_id=unit.unit_id, handler=unit.handler, error=told)


async def _report(engine: IOEngine, sender: SnapshotSender, clock: Clock) -> None:
    while True:
        sender.send(engine.snapshot())
        await clock.sleep(_SNAPSHOT_EVERY_S)


async def run_engine(settings: Settings, sender: SnapshotSender | None) -> None:
    """Run the engine's process: start, serve until SIGTERM, close."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    with StallReporter(SystemClock(), settings.engine_stall_limit_s * _STALL_SHOWN_AT):
        async with IOEngine(settings) as engine, asyncio.TaskGroup() as group:
            structlog.get_logger("io_engine").info("engine_started", netuid=settings.netuid)
            reporter = None
            if sender is not None:
                reporter = group.create_task(_report(engine, sender, SystemClock()), name="snapshot-reporter")
            await engine.serve(stop)
            if reporter is not None:
                reporter.cancel()
    structlog.get_logger("io_engine").info("engine_stopped")


def main(argv: list[str] | None = None) -> int:
    """Entry point of the process. Exit status 2: the settings cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m gaia.validator.app.io_engine")
    parser.add_argument("--ppid", type=int, default=None)
    parser.add_argument("--status-fd", type=int, default=None)
    parser.add_argument("--settings-on-stdin", action="store_true", help="as JSON, whatever stands in .env by now")
    arguments = parser.parse_args(argv)
    if arguments.ppid is not None:
        die_with_parent(arguments.ppid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sender = SnapshotSender(arguments.status_fd) if arguments.status_fd is not None else None
    try:
        if arguments.settings_on_stdin:
            settings = Settings.from_json(sys.stdin.buffer.read())
        else:
            from gaia.validator.utils.config import load_settings  # and pydantic, without which an engine is smaller

            settings = load_settings()
        configure_logging(settings.log_format, settings.log_level, process="io-engine")
        uvloop.run(run_engine(settings, sender))
    except ConfigurationError as error:
        if sender is not None:
            sender.send(Refusal(message=str(error)))  # the supervisor prints it, once
        else:
            print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
