"""The whole lifecycle against the real stack: a verified forecast in the database, two score units, their rows."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import numpy as np
import pytest

from gaia.contracts.ids import Hotkey, run_id_for
from gaia.contracts.unit import WorkUnit
from gaia.protocol.keys import create_key_file
from gaia.protocol.manifest import Manifest, canonical_bytes
from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.forecast.forecast_writer import ForecastWriter
from gaia.tasks.defined_tasks.weather.policy.policy import DEFAULT_POLICY
from gaia.tasks.defined_tasks.weather.supply.catalogue import SourceRef, SourceSet
from gaia.validator.app.io_engine import IOEngine
from gaia.validator.utils.config import load_settings
from gaia.validator.utils.settings import Settings
from tests.support.small_world import (
    FIRST_INIT,
    NETUID,
    REFERENCE,
    SPEC,
    Field,
    cell_weights,
    climate,
    forecast_with_error,
    weather,
    write_archive,
)
from tests.support.waiting import children_of, is_running, until, until_async

RUN = run_id_for(NETUID, "weather", FIRST_INIT)
HOTKEY = Hotkey("5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty")
START_WITHIN_S = 60.0
FLOAT32 = 1e-5
"""Relative: the stores and the score rows hold float32."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's unprivileged account can reach (pytest's own is 0700)."""
    folder = Path(tempfile.mkdtemp(prefix="gaia-life-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def environment_of(folder: Path) -> dict[str, str]:
    """The settings of the stack, as an operator gives them."""
    archive = write_archive(folder / "archive")
    create_key_file(folder / "validator.json")
    (folder / "run_spec.json").write_bytes(msgspec.json.encode(SPEC))
    return {
        "GAIA_DATA_DIR": str(folder / "data"),
        "GAIA_NETUID": str(NETUID),
        "GAIA_HOTKEY_FILE": str(folder / "validator.json"),
        "GAIA_COMPUTE_WORKERS": "1",
        "GAIA_METRICS_PORT": "0",
        "GAIA_SCHEDULE": "manual",
        "GAIA_RUN_SPEC_FILE": str(folder / "run_spec.json"),
        "GAIA_TRUTH": f"archive:{archive}",
        "GAIA_REFERENCE": f"archive:{archive}",
        "GAIA_CLIMATOLOGY": f"archive:{archive}",
        "GAIA_DRAIN_GRACE_S": "5",
    }


@asynccontextmanager
async def stack(folder: Path, environment: Mapping[str, str]) -> AsyncIterator[int]:
    """The supervisor with all its processes, from the settings up to an orderly stop; yields its pid."""
    foreign = {k: v for k, v in os.environ.items() if not k.startswith("GAIA_") and k != "DATABASE_URL"}
    with (folder / "validator.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gaia.validator.validator"],
            env={**foreign, **environment},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process.pid
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, START_WITHIN_S) == 0, (folder / "validator.log").read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


async def connect_to(settings: Settings) -> asyncpg.Connection[asyncpg.Record]:
    """A plain connection to the stack's database, once its schema is there."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + START_WITHIN_S
    while True:
        try:
            connection = await asyncpg.connect(settings.database_dsn, timeout=5.0)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            assert loop.time() < deadline, "the database did not start"
            await asyncio.sleep(0.05)
            continue
        if await connection.fetchval("SELECT to_regclass('score_component') IS NOT NULL"):
            return connection
        await connection.close()
        assert loop.time() < deadline, "the schema was not made"
        await asyncio.sleep(0.05)


def forecast_field(field: FieldId, lead_h: int) -> Field:
    """What the test's miner forecasts: half of the weather's own size wrong in z; 2 K too warm at 2 m."""
    valid_time = FIRST_INIT + timedelta(hours=lead_h)
    if field.variable == "2t":
        return np.asarray(weather(field, valid_time) + 2.0, dtype=np.float32)
    return forecast_with_error(0.5)(field, valid_time)


def write_forecast(store: Path) -> bytes:
    """Chunks and manifest.json, as they lie on the validator's disk after the freeze; returns the manifest."""
    store.parent.mkdir(parents=True)
    writer = ForecastWriter(store, SPEC, FIRST_INIT)
    for _, field, lead_h in SPEC.chunks():
        writer.write(field, lead_h, forecast_field(field, lead_h))
    manifest = canonical_bytes(
        Manifest(run_id=RUN, hotkey=HOTKEY, init_time=FIRST_INIT, spec_digest=SPEC.digest(), chunks=writer.finish())
    )
    (store / "manifest.json").write_bytes(manifest)
    return manifest


async def insert_verified_forecast(connection: asyncpg.Connection[asyncpg.Record], settings: Settings) -> None:
    """The rows run, run_miner and forecast of a test run."""
    store = settings.data_dir / "cache" / "forecasts" / RUN / HOTKEY
    manifest = write_forecast(store)
    archive = SourceRef(format="archive", path=str(settings.data_dir.parent / "archive"))
    sources = SourceSet(truth=archive, reference=archive, climatology=archive)
    opened_at = datetime.now(UTC) - timedelta(hours=3)
    await connection.execute(
        """INSERT INTO run (run_id, netuid, init_time, spec, spec_digest, policy_digest, sources, world_offset,
                            opened_at, commit_deadline, reveal_deadline, state)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'scoring')""",
        RUN, NETUID, FIRST_INIT, msgspec.json.encode(SPEC).decode(), SPEC.digest(), DEFAULT_POLICY.digest(),
        msgspec.json.encode(sources).decode(), timedelta(0), opened_at, opened_at + timedelta(hours=2),
        opened_at + timedelta(hours=3),
    )  # fmt: skip
    await connection.execute(
        """INSERT INTO run_miner (run_id, hotkey, uid, registered_block, state, commitment, committed_at)
           VALUES ($1, $2, 1, 1, 'verified', $3, $4)""",
        RUN, HOTKEY, bytes(32), opened_at,
    )  # fmt: skip
    await connection.execute(
        """INSERT INTO forecast (run_id, hotkey, manifest, manifest_digest, nonce, frozen_at, verified_at, store_path)
           VALUES ($1, $2, $3, $4, $5, $6, $6, $7)""",
        RUN, HOTKEY, manifest, hashlib.sha256(manifest).digest(), bytes(32), opened_at, str(store),
    )  # fmt: skip


def expected(field: FieldId, lead_h: int) -> dict[str, float]:
    """The metrics by their textbook formulas, in float64, on the fields as the stores hold them."""
    valid_time = FIRST_INIT + timedelta(hours=lead_h)
    forecast, truth, usual, reference = (
        values.astype(np.float64)
        for values in (
            forecast_field(field, lead_h),
            weather(field, valid_time),
            climate(field, valid_time),
            REFERENCE(field, valid_time),
        )
    )
    share = cell_weights(SPEC.grid)
    error, anomaly, truth_anomaly = forecast - truth, forecast - usual, truth - usual
    mse = np.sum(share * error**2)
    return {
        "bias": float(np.sum(share * error)),
        "mae": float(np.sum(share * np.abs(error))),
        "rmse": float(np.sqrt(mse)),
        "acc": float(
            np.sum(share * anomaly * truth_anomaly)
            / np.sqrt(np.sum(share * anomaly**2) * np.sum(share * truth_anomaly**2))
        ),
        "skill_clim": float(1 - mse / np.sum(share * truth_anomaly**2)),
        "skill_ref": float(1 - mse / np.sum(share * (reference - truth) ** 2)),
    }


@pytest.mark.database
@pytest.mark.processes
async def test_score_units_of_an_inserted_forecast_run_through_the_stack_into_the_database(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = environment_of(folder)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    settings = load_settings(None)
    before = set(children_of(os.getpid()))

    async with stack(folder, environment) as supervisor:
        connection = await connect_to(settings)
        await until_async(lambda: len(children_of(supervisor)) >= 3, "database, engine and worker run", START_WITHIN_S)
        family = [supervisor, *_descendants(supervisor)]
        await insert_verified_forecast(connection, settings)
        async with IOEngine(settings, local_workers=1) as engine:
            day1 = await engine.dispatch_and_wait(WorkUnit(handler="weather.score.day1", payload={"run_id": RUN}))
            era5 = await engine.dispatch_and_wait(
                WorkUnit(handler="weather.score.era5", payload={"run_id": RUN, "hotkey": HOTKEY, "lead_h": 24})
            )
        gate = await connection.fetchrow("SELECT * FROM gate_score WHERE run_id = $1", RUN)
        rows = await connection.fetch("SELECT * FROM score_component WHERE run_id = $1 ORDER BY position", RUN)
        await connection.close()

    assert day1.ok, day1.error
    assert day1.value is not None
    _check_day1(day1.value)
    assert gate is not None
    assert (gate["hotkey"], gate["passed"], gate["score"]) == (HOTKEY, True, day1.value["score"])
    assert msgspec.json.decode(gate["result"])["metrics"] == day1.value["metrics"]

    assert era5.ok, era5.error
    assert era5.value is not None
    _check_rows(rows)
    assert era5.value["rmse"] == pytest.approx([row["rmse"] for row in rows], rel=FLOAT32)

    await until_async(lambda: not any(map(is_running, family)), "the stack's processes are gone")
    assert set(children_of(os.getpid())) <= before
    assert [path for path in folder.rglob("*") if path.is_socket()] == []
    assert not settings.engine_socket.exists()


def _check_day1(value: Mapping[str, Any]) -> None:
    z500, warm = expected(FieldId("z", 500), 12), expected(FieldId("2t"), 12)
    # By hand: an error of half the weather's size against a reference of 0.8: 1 - 0.25 / 0.64; 2 K too warm is 2 K.
    assert z500["skill_ref"] == pytest.approx(1 - 0.25 / 0.64, rel=1e-4)
    assert (warm["bias"], warm["mae"], warm["rmse"]) == pytest.approx((2.0, 2.0, 2.0), rel=1e-4)
    for name in ("bias", "mae", "rmse", "acc", "skill_clim", "skill_ref"):
        assert value["metrics"][f"day1_{name}_z500"] == pytest.approx(z500[name], rel=1e-9, abs=1e-6), name
        assert value["metrics"][f"day1_{name}_2t"] == pytest.approx(warm[name], rel=1e-9, abs=1e-6), name
    skill = (max(0.0, z500["skill_ref"]) + max(0.0, warm["skill_ref"])) / 2
    correlation = ((z500["acc"] + 1) / 2 + (warm["acc"] + 1) / 2) / 2
    assert value["score"] == pytest.approx(0.6 * skill + 0.4 * correlation, rel=1e-9)
    assert value["passed"] is True
    assert value["clone_of_reference"] is False


def _check_rows(rows: list[asyncpg.Record]) -> None:
    assert [(row["variable"], row["level_hpa"], row["lead_h"]) for row in rows] == [("2t", None, 24), ("z", 500, 24)]
    for row in rows:
        wanted = expected(FieldId(row["variable"], row["level_hpa"]), 24)
        assert {name: row[name] for name in wanted} == pytest.approx(wanted, rel=FLOAT32, abs=1e-4)


def _descendants(pid: int) -> list[int]:
    children = until(lambda: children_of(pid), "there are children")
    return [*children, *(grandchild for child in children for grandchild in children_of(child))]
