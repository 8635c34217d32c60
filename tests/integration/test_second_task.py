"""A task that lives in tests/support/stations runs beside the weather, from request to weights: the validator knows
neither, GAIA_TASKS names both.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

import gaia
from gaia.cli.main import app
from gaia.contracts.errors import ConfigurationError
from gaia.contracts.ids import run_id_for
from gaia.protocol.keys import create_key_file, load_key_file
from gaia.tasks.defined_tasks.registry import defined_tasks
from gaia.tasks.defined_tasks.weather.validator.views import VIEWS as WEATHER_VIEWS
from gaia.validator.db.embedded import EmbeddedPostgres
from gaia.validator.db.pool import DatabasePool
from gaia.validator.db.queue import PostgresQueue
from gaia.validator.db.setup import SchemaChange, run_comprehensive_database_setup
from gaia.validator.db.weight_sets import WeightSet, last_good
from gaia.validator.utils.config import load_settings, refuse_incomplete
from gaia.validator.utils.settings import Settings
from tests.support.small_world import (
    FIRST_INIT,
    NETUID,
    Recipe,
    forecast_with_error,
    new_database,
    simulated_subnet,
    validator_settings,
    write_archive,
)
from tests.support.stations.definition import TASK as STATIONS
from tests.support.stations.definition import StationsSection
from tests.support.stations.messages import COUNT
from tests.support.stations.miner import StationMiner
from tests.support.stations.views import VIEWS as STATION_VIEWS

pytestmark = [pytest.mark.database, pytest.mark.processes]

TASKS = ("weather", "tests.support.stations.definition:TASK")
SHARES = {"weather": 0.75, "stations": 0.25}
WEATHER_RUN, STATIONS_RUN = (run_id_for(NETUID, task, FIRST_INIT) for task in SHARES)
MEASURED = [15.0 + station / 10 for station in range(COUNT)]
WITHIN_S = 90.0


class Cast:
    """Who takes part: the forecast of the weather, and by how many kelvin the temperatures are too high."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.both = self._miner(forecast_with_error(0.2), 0.0)
        self.also_both = self._miner(forecast_with_error(0.5), 0.5)
        self.only_stations = self._miner(None, 1.0)
        self.only_weather = self._miner(forecast_with_error(0.4), None)
        self.all = (self.both, self.also_both, self.only_stations, self.only_weather)

    def _miner(self, recipe: Recipe | None, error_k: float | None) -> StationMiner:
        celsius = None if error_k is None else [measured + error_k for measured in MEASURED]
        return StationMiner(self.folder, recipe, celsius)


@pytest.fixture
async def dsn(migrated_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """A database in which the weather is set up, and the stations not yet."""
    async with new_database(migrated_server) as dsn:
        yield dsn


@pytest.fixture
def settings(tmp_path: Path, dsn: str) -> Settings:
    """Of a validator of both tasks."""
    write_archive(tmp_path / "archive")
    create_key_file(tmp_path / "validator.json")
    truth = tmp_path / "measured.json"
    truth.write_text(json.dumps({"2017-01-02": MEASURED}))
    of_weather = validator_settings(tmp_path, dsn, tmp_path / "validator.json")
    section = StationsSection(truth=truth, window_s=6.0)
    return msgspec.structs.replace(
        of_weather,
        tasks=TASKS,
        task_weights=SHARES,
        task_settings=of_weather.task_settings | STATIONS.by_variable(section),
    )


@contextlib.contextmanager
def engine_of(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """An engine in a process of its own; killed at the end, and its workers with it."""
    told = settings.data_dir.parent / "settings.json"
    told.write_bytes(settings.to_json())
    with told.open("rb") as stdin, (settings.data_dir.parent / "engine.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "tests.support.lone_engine"], stdin=stdin, stderr=log)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


class Watch:
    """Looks into the database."""

    def __init__(self, database: DatabasePool) -> None:
        self.database = database

    async def value(self, query: str, *args: Any) -> Any:
        async with self.database.acquire() as conn:
            return await conn.fetchval(query, *args)

    async def until(self, query: str, *args: Any) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not await self.value(query, *args):
            async with self.database.acquire() as conn:
                jobs = await conn.fetch("SELECT key, state, last_error FROM job WHERE state <> 'done'")
            assert time.monotonic() < deadline, [dict(job) for job in jobs]
            await asyncio.sleep(0.05)

    async def weights(self) -> WeightSet:
        async with self.database.acquire() as conn:
            found = await last_good(conn, NETUID)
        assert found is not None
        return found

    async def scores(self) -> Mapping[str, Mapping[str, float]]:
        """Task -> hotkey -> score, as stored."""
        async with self.database.acquire() as conn:
            of_weather = await WEATHER_VIEWS.scores(conn, WEATHER_RUN)
            of_stations = await STATION_VIEWS.scores(conn, STATIONS_RUN)
        return {
            "weather": {score.hotkey: score.score or 0.0 for score in of_weather},
            "stations": {score.hotkey: score.score or 0.0 for score in of_stations},
        }


@contextlib.asynccontextmanager
async def watching(dsn: str) -> AsyncIterator[Watch]:
    database = await DatabasePool.connect(dsn, min_size=1, max_size=4, connect_timeout_s=10, command_timeout_s=30)
    yield Watch(database)
    await database.close()


_BOTH_READ_BACK = """
SELECT count(*) > 0 FROM weight_set w WHERE read_back_at IS NOT NULL
AND (SELECT count(*) FROM weight_set_part p WHERE p.weight_set_id = w.id AND p.share > 0) = 2
AND NOT EXISTS (SELECT FROM job WHERE state IN ('ready', 'leased') AND run_at < now() + interval '1 minute')
"""


@pytest.mark.timeout(240)
async def test_two_tasks_run_from_request_to_weights_in_one_engine_that_is_killed_meanwhile(
    settings: Settings, dsn: str, tmp_path: Path
) -> None:
    definitions = defined_tasks(TASKS)
    changes = await run_comprehensive_database_setup(dsn, tasks=definitions)
    assert changes[2] == SchemaChange(history="stations", before=None, after="0001")
    validator = load_key_file(tmp_path / "validator.json").hotkey
    async with contextlib.AsyncExitStack() as stack:
        chain = await stack.enter_async_context(simulated_subnet(dsn, validator))
        watch = await stack.enter_async_context(watching(dsn))
        cast = Cast(tmp_path)
        for miner in cast.all:
            stack.push_async_callback(miner.stop)
            await miner.start(chain)
        queue = PostgresQueue(watch.database, owner="test", lease=timedelta(seconds=30))
        await queue.put(WEATHER_VIEWS.open_job(WEATHER_RUN), STATION_VIEWS.open_job(STATIONS_RUN))

        with engine_of(settings):
            await watch.until("SELECT count(*) FROM run WHERE state = 'scoring'")
            await watch.until("SELECT count(*) = 3 FROM stations_miner WHERE celsius IS NOT NULL")
        with engine_of(settings):
            await watch.until(_BOTH_READ_BACK)

        await _check_weights(watch, cast)
        row = await chain.weights(NETUID, validator)
        assert row is not None
        assert dict(row.weights) == dict((await watch.weights()).submitted)
    await _check_commands(settings, cast)


async def _check_weights(watch: Watch, cast: Cast) -> None:
    scores = await watch.scores()
    # By hand: an error of e kelvin everywhere has the RMSE e, and scores 1 / (1 + e).
    expected = {cast.both: 1.0, cast.also_both: 1 / 1.5, cast.only_stations: 0.5, cast.only_weather: 0.0}
    assert scores["stations"] == pytest.approx({miner.hotkey: score for miner, score in expected.items()}, rel=1e-12)
    assert {hotkey for hotkey, score in scores["weather"].items() if score > 0.0} == {
        miner.hotkey for miner in (cast.both, cast.also_both, cast.only_weather)
    }
    weights = await watch.weights()
    assert weights.alarm is None
    assert {part.task: (part.run_id, part.share) for part in weights.parts} == {
        "weather": (WEATHER_RUN, 0.75),
        "stations": (STATIONS_RUN, 0.25),
    }
    pay = {task: math.fsum(score**3 for score in of_task.values()) for task, of_task in scores.items()}
    by_hand = {
        miner.hotkey: math.fsum(
            SHARES[task] * of_task.get(miner.hotkey, 0.0) ** 3 / pay[task] for task, of_task in scores.items()
        )
        for miner in cast.all
    }
    assert weights.emission == pytest.approx(by_hand, rel=1e-12)
    assert math.fsum(weights.emission.values()) == pytest.approx(1.0, abs=1e-12)


async def _check_commands(settings: Settings, cast: Cast) -> None:
    """The commands show both tasks, and say what each earns."""
    assert await _gaia(settings, "stations", "count") == f"{COUNT}\n"
    runs = json.loads(await _gaia(settings, "runs", "--json"))["runs"]
    assert {run["run_id"]: run["state"] for run in runs} == {WEATHER_RUN: "scored", STATIONS_RUN: "scored"}
    only = json.loads(await _gaia(settings, "runs", "--json", "--task", "stations"))["runs"]
    assert [run["run_id"] for run in only] == [STATIONS_RUN]
    tables = [json.loads(await _gaia(settings, "leaderboard", run, "--json")) for run in (WEATHER_RUN, STATIONS_RUN)]
    weights = [{row["hotkey"]: row["emission_weight"] for row in table} for table in tables]
    assert weights[0] == weights[1]  # of all the emission, whichever run is looked at
    assert [row["score"] for row in tables[1]] == [1.0, 0.666667, 0.5, 0.0]
    for run_id in (WEATHER_RUN, STATIONS_RUN):
        found = json.loads(await _gaia(settings, "explain", run_id, cast.also_both.hotkey, "--json"))
        assert found["differing"] == []
        assert found["score"]["checks"][-1]["what"] == "the emission weight"
        assert found["pay"]["weight_recomputed"] == pytest.approx(
            found["pay"]["share"] * found["pay"]["weight_in_task"] + found["pay"]["from_other_tasks"], rel=1e-12
        )
    assert "times this task's share of the emission, 0.75" in await _gaia(
        settings, "explain", WEATHER_RUN, cast.both.hotkey
    )


def environment_of(settings: Settings) -> dict[str, str]:
    """The same settings as an operator gives them."""
    of_tasks = {name: str(value) for name, value in settings.task_settings.items() if value is not None}
    return {
        "DATABASE_URL": settings.database_url or "",
        "GAIA_DATA_DIR": str(settings.data_dir),
        "GAIA_HOTKEY_FILE": str(settings.hotkey_file),
        "GAIA_TASKS": ",".join(TASKS),
        "GAIA_TASK_WEIGHTS": "weather=0.75,stations=0.25",
        **of_tasks,
    }


async def _gaia(settings: Settings, *arguments: str) -> str:
    done = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environment_of(settings))
    assert done.exit_code == 0, done.output
    return done.output


def test_the_settings_of_a_task_are_read_listed_and_checked_like_the_others(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("GAIA_")]:
        monkeypatch.delenv(name)
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    found = load_settings()
    assert found.tasks == TASKS
    assert found.task_settings == settings.task_settings
    refuse_incomplete(found)
    shown = json.loads(CliRunner().invoke(app, ["config", "--json"]).output)
    assert shown["GAIA_STATIONS_WINDOW_S"] == 6.0
    assert (shown["GAIA_TASKS"], shown["GAIA_TASK_WEIGHTS"]) == (",".join(TASKS), "weather=0.75,stations=0.25")
    listed = CliRunner().invoke(app, ["config"]).output
    assert "GAIA_STATIONS_TRUTH" in listed
    for name, value, said in (
        ("GAIA_STATIONS_WINDOW_S", "0", "GAIA_STATIONS_WINDOW_S: Input should be greater than or equal to 0.1"),
        ("GAIA_STATIONS_TRUHT", "x", "GAIA_STATIONS_TRUHT: there is no such setting, did you mean GAIA_STATIONS_TRUTH"),
        ("GAIA_TASK_WEIGHTS", "weather=1", "GAIA_TASK_WEIGHTS: say of each task"),
    ):
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            with pytest.raises(ConfigurationError, match=said):
                load_settings()
    monkeypatch.delenv("GAIA_STATIONS_TRUTH")
    with pytest.raises(ConfigurationError, match="GAIA_STATIONS_TRUTH is not set"):
        refuse_incomplete(load_settings())


@pytest.mark.parametrize("room", ["validator", "cli", "chain", "contracts", "protocol"])
def test_nothing_there_names_the_second_task(room: str) -> None:
    sources = (Path(gaia.__file__).parent / room).rglob("*.py")
    assert [path.name for path in sources if "stations" in path.read_text()] == []
