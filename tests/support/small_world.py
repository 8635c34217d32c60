"""A subnet small enough for a test, all of its parts real: weather on a 10 degree grid, miners over HTTP, a chain.

The weather is made of formulas, so that a test can say by hand what a forecast must score. The miners are those of
`gaia.miner`, but for the model: the forecast is a formula, too, and is ready when the request is.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import asyncpg
import msgspec
import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from gaia.chain.simulated import SimulatedChain
from gaia.contracts.clock import SystemClock
from gaia.contracts.ids import Hotkey, run_id_for
from gaia.contracts.job import Connection
from gaia.contracts.ports import Neuron, SubnetParameters
from gaia.miner.conduct import Conduct
from gaia.miner.forecasting.forecast_job import STORE_NAME, ForecastResult
from gaia.miner.forecasting.forecaster import Forecaster, manifest_of, promise
from gaia.miner.model_choice import ModelChoice
from gaia.miner.run_store import CommittedForecast, RunStore, StoredRun
from gaia.miner.serving.front import Front
from gaia.miner.serving.permits import PermitList
from gaia.miner.settings import MinerSettings
from gaia.protocol.keys import HotkeySigner
from gaia.protocol.run_spec import FieldId, GridSpec, RunSpec, VariableSpec
from gaia.tasks.defined_tasks.weather.definition import TASK
from gaia.tasks.defined_tasks.weather.files.archive import ARCHIVE_HEADER, SourceRole, archive_store
from gaia.tasks.defined_tasks.weather.files.store.flat_store import write_flat_store
from gaia.tasks.defined_tasks.weather.forecast.forecast_writer import ForecastWriter
from gaia.tasks.defined_tasks.weather.policy.policy import DEFAULT_POLICY
from gaia.tasks.defined_tasks.weather.section import WeatherSection
from gaia.tasks.defined_tasks.weather.supply.catalogue import SourceSet
from gaia.tasks.defined_tasks.weather.validator.records.runs import (
    Run,
    RunState,
    insert_run,
    set_polled,
    set_run_state,
)
from gaia.validator.db.embedded import EmbeddedPostgres
from gaia.validator.utils.settings import Settings

NETUID = 57
SPEC = RunSpec(
    variables=(VariableSpec(name="2t"), VariableSpec(name="z", levels_hpa=(500,))),
    lead_h=(12, 24, 36),
    scored_lead_h=(24, 36),
    gate_lead_h=12,
    grid=GridSpec.global_grid(10.0),
)
FIRST_INIT = datetime(2017, 1, 1, tzinfo=UTC)
PARAMETERS = SubnetParameters(
    tempo_blocks=360,
    weights_rate_limit_blocks=0,
    min_allowed_weights=1,
    max_weights_limit=1.0,
    weights_version=1,
    min_stake_tao=1_000.0,
)
_SIZE = {"2t": (280.0, 8.0), "z": (54_000.0, 900.0)}
"""Variable -> (mean, amplitude of its weather), in the table's units."""
_CLOSE_WITHIN_S = 10.0
_databases = itertools.count(1)

Field = NDArray[np.float32]
Recipe = Callable[[FieldId, datetime], Field]
"""What a miner forecasts for a field at a valid time."""


def climate(field: FieldId, valid_time: datetime) -> Field:
    """What is usual: warm at the equator, the same every day."""
    middle, reach = _SIZE[field.variable]
    latitude, longitude = _angles()
    return np.asarray(middle + reach * (np.cos(latitude) ** 2 + 0.0 * longitude), dtype=np.float32)


def weather(field: FieldId, valid_time: datetime) -> Field:
    """What happened: a wave of zonal wavenumber 3 on the climate, that goes round in five days."""
    return np.asarray(climate(field, valid_time) + _wave(field, valid_time, wavenumber=3), dtype=np.float32)


def forecast_with_error(share: float) -> Recipe:
    """The truth and, on top, an error of wavenumber 2, `share` times as big as the weather itself.

    The two waves are orthogonal on every row and of equal area-weighted variance. So the root-mean-square error is
    `share` times that of the climatology, the skill against it `1 - share ** 2`, and the anomaly correlation
    `1 / sqrt(1 + share ** 2)`.
    """

    def recipe(field: FieldId, valid_time: datetime) -> Field:
        error = share * _wave(field, valid_time, wavenumber=2)
        return np.asarray(weather(field, valid_time) + error, dtype=np.float32)

    return recipe


def mirrored(field: FieldId, valid_time: datetime) -> Field:
    """The opposite of what happens: the anomaly correlation is -1, and no skill is left for the gate."""
    anomaly = weather(field, valid_time) - climate(field, valid_time)
    return np.asarray(climate(field, valid_time) - anomaly, dtype=np.float32)


REFERENCE = forecast_with_error(0.8)
"""The operational forecast of this world."""


def cell_weights(grid: GridSpec) -> NDArray[np.float64]:
    """(nlat, 1): each row's share of the sphere, by the sines of its edges, over all its points; sums to 1."""
    latitude = grid.latitude_first + grid.latitude_step * np.arange(grid.latitude_count)
    edges = np.clip(np.append(latitude - grid.latitude_step / 2, latitude[-1] + grid.latitude_step / 2), -90.0, 90.0)
    share = np.abs(np.diff(np.sin(np.deg2rad(edges)))) / 2.0
    return np.asarray(share[:, None] / grid.longitude_count)


def write_archive(folder: Path, days: int = 1, *, spec: RunSpec = SPEC) -> Path:
    """Truth, climatology and reference for runs that start at 00Z of the first `days` days."""
    folder.mkdir(parents=True)
    (folder / ARCHIVE_HEADER).write_text("{}")
    inits = [FIRST_INIT + timedelta(days=day) for day in range(days)]
    for init_time, lead_h in itertools.product(inits, spec.lead_h):
        valid_time = init_time + timedelta(hours=lead_h)
        for role, recipe in (
            (SourceRole.TRUTH, weather),
            (SourceRole.CLIMATOLOGY, climate),
            (SourceRole.REFERENCE, REFERENCE),
        ):
            place = archive_store(folder, role, valid_time=valid_time, init_time=init_time, lead_h=lead_h)
            write_flat_store(
                place,
                grid=spec.grid,
                valid_time=valid_time,
                fields=spec.fields(),
                data=np.stack([recipe(field, valid_time) for field in spec.fields()]),
                source="the tests' own weather",
            )
    return folder


def validator_settings(
    folder: Path, dsn: str, hotkey_file: Path | None, *, schedule: Literal["daily", "manual"] = "manual", **weather: Any
) -> Settings:
    """Settings of a validator whose data lie in `folder`, its archive in `folder`/archive."""
    spec_file = folder / "run_spec.json"
    spec_file.write_bytes(msgspec.json.encode(SPEC))
    archive = f"archive:{folder / 'archive'}"
    section = WeatherSection(
        **{
            "truth": archive,
            "reference": archive,
            "climatology": archive,
            "run_spec_file": spec_file,
            "commit_window_s": 6.0,
            "reveal_window_s": 60.0,
            **weather,
        }
    )
    return Settings(
        database_url=dsn,
        data_dir=folder / "validator",
        netuid=NETUID,
        hotkey_file=hotkey_file,
        schedule=schedule,
        miner_timeout_s=5.0,
        drain_grace_s=5.0,
        allow_private_endpoints=True,
        compute_workers=1,
        task_settings=TASK.by_variable(section),
    )


@asynccontextmanager
async def new_database(server: EmbeddedPostgres) -> AsyncIterator[str]:
    """The address of a new database with the newest schema, gone at the end."""
    name = f"world_{next(_databases)}"
    admin = await asyncpg.connect(server.dsn, database="postgres", timeout=_CLOSE_WITHIN_S)
    try:
        await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "gaia" STRATEGY FILE_COPY')
        yield server.dsn.replace("/gaia?", f"/{name}?")
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await admin.close(timeout=_CLOSE_WITHIN_S)


@asynccontextmanager
async def simulated_subnet(
    dsn: str, validator: Hotkey, parameters: SubnetParameters = PARAMETERS
) -> AsyncIterator[SimulatedChain]:
    """A chain with one subnet, on which the validator has a permit."""
    chain = await SimulatedChain.connect(dsn)
    try:
        await chain.create_subnet(NETUID, parameters, block_time_s=0.25)
        await chain.register(NETUID, validator, stake_tao=10_000.0, validator_permit=True)
        yield chain
    finally:
        await chain.close()


class FormulaForecaster(Forecaster):
    """Has its forecast when it is asked for it; without a recipe, never."""

    def __init__(self, settings: MinerSettings, hotkey: Hotkey, recipe: Recipe | None) -> None:
        super().__init__(settings, hotkey, Conduct(), SystemClock())
        self._of = hotkey
        self._recipe = recipe

    def submit(self, run: StoredRun) -> None:
        """Write the forecast and commit to it."""
        request = run.accepted.request
        if self._recipe is None:
            return
        attempt = run.new_attempt()
        writer = ForecastWriter(attempt / STORE_NAME, request.spec, request.init_time)
        for _, field, lead_h in request.spec.chunks():
            writer.write(field, lead_h, self._recipe(field, request.init_time + timedelta(hours=lead_h)))
        manifest = manifest_of(request, self._of, ForecastResult(chunks=writer.finish()))
        run.publish(attempt, promise(request, self._of, manifest, datetime.now(UTC)))
        run.discard(attempt)


class OtherManifest(Conduct):
    """Reveals another manifest than the one committed to."""

    def manifest(self, run: StoredRun, committed: CommittedForecast) -> bytes:
        return committed.manifest.replace(b'"size_bytes":', b'"size_bytes":1', 1)


class OtherChunks(Conduct):
    """Reveals the right manifest, and serves other bytes of the same length."""

    def chunk(self, run: StoredRun, key: str) -> Path:
        path = super().chunk(run, key)
        other = path.with_suffix(".other")
        other.write_bytes(bytes(byte ^ 0xFF for byte in path.read_bytes()))
        return other


class FormulaMiner:
    """A registered miner with its HTTP server. `store` is what it has on disk."""

    def __init__(self, folder: Path, recipe: Recipe | None, conduct: Conduct | None = None) -> None:
        self.signer = HotkeySigner.generate()
        self.hotkey = self.signer.hotkey
        self._settings = MinerSettings(
            netuid=NETUID,
            data_dir=folder / self.hotkey,
            model=ModelChoice(name="persistence"),
            analysis=f"archive:{folder}",
        )
        self.store = RunStore(self._settings.data_dir, max_runs=32)
        self.forecaster = FormulaForecaster(self._settings, self.hotkey, recipe)
        self._conduct = conduct or Conduct()
        self._runner: web.AppRunner | None = None

    async def start(self, chain: SimulatedChain) -> None:
        """Register, serve, announce."""
        await chain.register(NETUID, self.hotkey)
        permits = PermitList(chain, NETUID, SystemClock())
        await permits.refresh()
        front = Front(
            settings=self._settings,
            signer=self.signer,
            permits=permits,
            store=self.store,
            forecaster=self.forecaster,
            conduct=self._conduct,
            clock=SystemClock(),
        )
        self._runner = web.AppRunner(self.application(front), access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        await chain.announce_endpoint(NETUID, self.signer, f"http://127.0.0.1:{self._runner.addresses[0][1]}")

    def application(self, front: Front) -> web.Application:
        """What it serves."""
        return front.application()

    async def stop(self) -> None:
        """Stop serving; asking again is harmless."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
            self.store.close()


@asynccontextmanager
async def miners_of(
    chain: SimulatedChain, folder: Path, recipes: Sequence[tuple[Recipe | None, Conduct | None]]
) -> AsyncIterator[list[FormulaMiner]]:
    """Started miners, in the order of their uids."""
    async with contextlib.AsyncExitStack() as stack:
        miners = []
        for recipe, conduct in recipes:
            miner = FormulaMiner(folder, recipe, conduct)
            stack.push_async_callback(miner.stop)
            await miner.start(chain)
            miners.append(miner)
        yield miners


def _wave(field: FieldId, valid_time: datetime, *, wavenumber: int) -> NDArray[np.float64]:
    reach = _SIZE[field.variable][1]
    latitude, longitude = _angles()
    phase = 2 * np.pi * (valid_time - FIRST_INIT) / timedelta(days=5)
    wave = reach * np.cos(latitude) ** 2 * np.sin(wavenumber * longitude - phase)
    return np.asarray(wave, dtype=np.float64)


def _angles(grid: GridSpec = SPEC.grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    latitude = np.deg2rad(grid.latitude_first + grid.latitude_step * np.arange(grid.latitude_count))
    longitude = np.deg2rad(grid.longitude_first + grid.longitude_step * np.arange(grid.longitude_count))
    return latitude[:, None], longitude[None, :]


def a_run(
    day: int = 0,
    *,
    spec: RunSpec = SPEC,
    sources: SourceSet,
    state: RunState = RunState.SCORING,
    deadline_in: timedelta = timedelta(hours=-1),
    polled_before_deadline: timedelta | None = timedelta(seconds=1),
    world_offset: timedelta = timedelta(0),
    init_time: datetime | None = None,
) -> Run:
    """A run that starts from 00Z of a day of January 2017 and was opened two hours before its commit deadline."""
    start = init_time or FIRST_INIT + timedelta(days=day)
    deadline = datetime.now(UTC) + deadline_in
    return Run(
        run_id=run_id_for(NETUID, "weather", start),
        netuid=NETUID,
        init_time=start,
        spec=spec,
        spec_digest=spec.digest(),
        policy_digest=DEFAULT_POLICY.digest(),
        sources=sources,
        world_offset=world_offset,
        opened_at=deadline - timedelta(hours=2),
        commit_deadline=deadline,
        reveal_deadline=deadline + timedelta(hours=2),
        state=state,
        polled_at=None if polled_before_deadline is None else deadline - polled_before_deadline,
    )


async def insert_run_at(conn: Connection, run: Run, neurons: Sequence[Neuron]) -> None:
    """Put a run into the database as far as it says it has come."""
    assert await insert_run(conn, run, neurons)
    await set_run_state(conn, run.run_id, run.state)
    if run.polled_at is not None:
        await set_polled(conn, run.run_id, run.polled_at)
