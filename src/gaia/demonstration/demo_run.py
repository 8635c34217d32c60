"""Runs the demonstration: starts the validator, makes the chain, starts the miners, and follows one run to its weights.

Owns the order of events and the time limits. Everything that it shows comes from the database.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
from msgspec import Struct

from gaia.chain.simulated import SMALL_SUBNET, SimulatedChain
from gaia.contracts.clock import Clock
from gaia.contracts.errors import ValidatorFault
from gaia.contracts.ids import Hotkey, run_id_for
from gaia.contracts.ports import Signer
from gaia.demonstration.demo_miners import DemoMiner
from gaia.demonstration.demo_processes import DemoProcesses
from gaia.demonstration.scenario import Scenario
from gaia.protocol.keys import create_key_file
from gaia.tasks.defined_tasks.views import RunUnknown
from gaia.tasks.defined_tasks.weather.validator.records import results
from gaia.tasks.defined_tasks.weather.validator.records.runs import RunState, load_run
from gaia.tasks.defined_tasks.weather.validator.steps.draw_picture import picture_path
from gaia.tasks.defined_tasks.weather.validator.steps.lifecycle import Kind, run_job
from gaia.tasks.defined_tasks.weather.validator.views import VIEWS
from gaia.validator.db.pool import DatabasePool, DatabaseUnavailable
from gaia.validator.db.queue import PostgresQueue
from gaia.validator.db.weight_sets import WeightsState, weights_state
from gaia.validator.leaderboard import LeaderboardRow, leaderboard
from gaia.validator.utils.settings import Settings

NETUID = 57
_BLOCK_TIME_S = 0.25
_VALIDATOR_STAKE_TAO = 10_000.0
_START_WITHIN_S = 90.0
_LOOK_EVERY_S = 0.2


class TookTooLong(ValidatorFault):
    """Something did not happen within the demonstration's time limit."""


class RunVoided(ValidatorFault):
    """The run was declared void."""


class DemoPlan(Struct, frozen=True, kw_only=True):
    """The scenario and the settings of one demonstration."""

    scenario: Scenario
    data_dir: Path
    workers: int
    commit_window_s: float
    finish_within_s: float = 300.0


class DemoState(Struct, frozen=True, kw_only=True):
    """The state of the demonstration at one moment, for the view."""

    act: str
    """What happens now, in words."""
    run_state: str | None = None
    seconds_to_deadline: float | None = None
    miners: Sequence[results.MinerProgress] = ()
    weights: WeightsState | None = None
    has_picture: bool = False


class DemoOutcome(Struct, frozen=True, kw_only=True):
    """The results of the demonstration."""

    run_id: str
    leaderboard: Sequence[LeaderboardRow]
    components: Sequence[results.Component]
    weights: WeightsState
    picture: Path
    models: Mapping[Hotkey, str]


Show = Callable[[DemoState], None]


class DemoRun:
    """One run of the demonstration."""

    def __init__(self, plan: DemoPlan, processes: DemoProcesses, clock: Clock, show: Show) -> None:
        self._plan = plan
        self._processes = processes
        self._clock = clock
        self._show = show
        self._run_id = run_id_for(NETUID, "weather", plan.scenario.init_time)
        self._picture = picture_path(plan.data_dir, self._run_id)
        self._models: dict[Hotkey, str] = {}

    async def perform(self) -> DemoOutcome:
        """Run everything, from an empty folder to weights on the chain. Raises a GaiaError with the cause."""
        self._show(DemoState(act="starting the validator"))
        validator = self._create_key("validator")
        self._processes.start("validator", ["gaia.validator.validator"], self._settings())
        async with contextlib.AsyncExitStack() as stack:
            database = await self._connect()
            stack.push_async_callback(database.close)
            chain = await SimulatedChain.connect(self._database_url)
            stack.push_async_callback(chain.close)
            await self._start_miners(chain, validator)
            queue = PostgresQueue(database, owner="demonstration", lease=timedelta(seconds=30))
            await queue.put(run_job(Kind.OPEN_RUN, self._run_id))
            await self._until("the run did not finish", self._plan.finish_within_s, lambda: self._is_over(database))
            return await self._outcome(database)

    async def _connect(self) -> DatabasePool:
        """Wait for the validator's database and its schema, and connect."""
        opened: list[DatabasePool] = []

        async def has_schema() -> bool:
            try:
                database = await DatabasePool.connect(
                    self._database_url, min_size=1, max_size=2, connect_timeout_s=5.0, command_timeout_s=30.0
                )
            except DatabaseUnavailable:
                return False
            async with database.acquire() as conn:
                if await conn.fetchval("SELECT to_regclass('simulated_chain.neuron') IS NOT NULL"):
                    opened.append(database)
                    return True
            await database.close()
            return False

        await self._until("the validator did not start", _START_WITHIN_S, has_schema)
        return opened[0]

    async def _start_miners(self, chain: SimulatedChain, validator: Signer) -> None:
        self._show(DemoState(act="making the subnet, registering and starting the miners"))
        await chain.create_subnet(NETUID, SMALL_SUBNET, block_time_s=_BLOCK_TIME_S)
        await chain.register(NETUID, validator.hotkey, stake_tao=_VALIDATOR_STAKE_TAO, validator_permit=True)
        for number, miner in enumerate(self._plan.scenario.cast, start=1):
            name = f"miner-{number}"
            hotkey = self._create_key(name).hotkey
            await chain.register(NETUID, hotkey)
            self._models[hotkey] = miner.name
            self._processes.start(name, ["gaia.cli.main", "miner", *self._miner_options(name, miner)], {})

        async def all_announced() -> bool:
            neurons = await chain.neurons(NETUID)
            return all(neuron.endpoint or neuron.validator_permit for neuron in neurons)

        await self._until("the miners did not start", _START_WITHIN_S, all_announced)

    async def _is_over(self, database: DatabasePool) -> bool:
        async with database.acquire() as conn:
            try:
                run = await load_run(conn, self._run_id)
            except RunUnknown:
                self._show(DemoState(act="opening the run"))
                return False
            state = DemoState(
                act="running",
                run_state=run.state,
                seconds_to_deadline=(run.commit_deadline - self._clock.now()).total_seconds(),
                miners=await results.progress(conn, self._run_id),
                weights=await weights_state(conn, self._run_id),
                has_picture=self._picture.exists(),
            )
        self._show(state)
        if run.state is RunState.VOID:
            raise RunVoided(
                f"the run is void: {run.void_reason}; if the machine was busy, give the miners more than "
                f"{self._plan.commit_window_s:g} s with --commit-window-s; "
                f"see {self._processes.log_path('validator')}"
            )
        return bool(state.weights and state.weights.read_back and state.has_picture)

    async def _outcome(self, database: DatabasePool) -> DemoOutcome:
        async with database.acquire() as conn:
            return DemoOutcome(
                run_id=self._run_id,
                leaderboard=await leaderboard(conn, VIEWS, self._run_id),
                components=await results.components(conn, self._run_id),
                weights=await weights_state(conn, self._run_id),
                picture=self._picture,
                models=self._models,
            )

    async def _until(self, otherwise: str, within_s: float, condition: Callable[[], Awaitable[bool]]) -> None:
        deadline = self._clock.monotonic() + within_s
        while not await condition():
            self._processes.check()
            if self._clock.monotonic() > deadline:
                raise TookTooLong(f"{otherwise} within {within_s:g} s; see {self._processes.log_path('validator')}")
            await self._clock.sleep(_LOOK_EVERY_S)

    def _create_key(self, name: str) -> Signer:
        folder = self._plan.data_dir / "keys"
        folder.mkdir(mode=0o700, exist_ok=True)
        return create_key_file(folder / f"{name}.json")

    @property
    def _database_url(self) -> str:
        return Settings(data_dir=self._plan.data_dir).database_dsn

    def _settings(self) -> dict[str, str]:
        """The validator's settings, as its environment."""
        plan, sources = self._plan, self._plan.scenario.sources
        spec_file = plan.data_dir / "run_spec.json"
        spec_file.write_bytes(msgspec.json.format(msgspec.json.encode(plan.scenario.spec)))
        optional = {"GAIA_REFERENCE": sources.reference, "GAIA_CLIMATOLOGY": sources.climatology}
        return {
            "GAIA_DATA_DIR": str(plan.data_dir),
            "GAIA_NETUID": str(NETUID),
            "GAIA_HOTKEY_FILE": str(plan.data_dir / "keys" / "validator.json"),
            "GAIA_COMPUTE_WORKERS": str(plan.workers),
            "GAIA_METRICS_PORT": "0",
            "GAIA_SCHEDULE": "manual",
            "GAIA_RUN_SPEC_FILE": str(spec_file),
            "GAIA_TRUTH": str(sources.truth),
            "GAIA_COMMIT_WINDOW_S": str(plan.commit_window_s),
            "GAIA_REVEAL_WINDOW_S": "60",
            "GAIA_MINER_TIMEOUT_S": "5",
            "GAIA_DRAIN_GRACE_S": "5",
            "GAIA_ALLOW_PRIVATE_ENDPOINTS": "true",
            **{name: str(source) for name, source in optional.items() if source is not None},
        }

    def _miner_options(self, name: str, miner: DemoMiner) -> list[str]:
        sources = self._plan.scenario.sources
        data_dir = self._plan.data_dir
        climatology = [] if sources.climatology is None else ["--climatology", str(sources.climatology)]
        return [
            *("--key", str(data_dir / "keys" / f"{name}.json"), "--chain-url", self._database_url),
            *("--netuid", str(NETUID), "--data-dir", str(data_dir / "miners" / name)),
            *("--analysis", str(sources.truth), *climatology, *miner.options()),
        ]
