"""The task's rows: all its SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from gaia.contracts.ids import RunId, parse_run_id
from gaia.contracts.job import Connection
from gaia.contracts.ports import Neuron
from gaia.tasks.defined_tasks.base import MinerScore

_INSERT = """
INSERT INTO stations_run (run_id, netuid, init_time, opened_at, deadline) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
"""
_INSERT_MINER = """
INSERT INTO stations_miner (run_id, hotkey, uid, endpoint) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
"""
_SCORE = """
UPDATE stations_miner SET rmse = $3, score = $4, reason_code = $5, reason = $6 WHERE run_id = $1 AND hotkey = $2
"""
_NEWEST = """
SELECT run_id FROM stations_run WHERE netuid = $1 AND scored_at IS NOT NULL ORDER BY init_time DESC LIMIT 1
"""


async def insert_run(
    conn: Connection, run_id: str, opened_at: datetime, window: timedelta, miners: Sequence[Neuron]
) -> None:
    netuid, _, init_time = parse_run_id(run_id)
    await conn.execute(_INSERT, run_id, netuid, init_time, opened_at, opened_at + window)
    await conn.executemany(_INSERT_MINER, [(run_id, n.hotkey, n.uid, n.endpoint) for n in miners])


async def load_run(conn: Connection, run_id: str) -> Any:
    return await conn.fetchrow("SELECT * FROM stations_run WHERE run_id = $1", run_id)


async def load_miners(conn: Connection, run_id: str) -> list[Any]:
    return await conn.fetch("SELECT * FROM stations_miner WHERE run_id = $1 ORDER BY uid", run_id)


async def keep_forecast(conn: Connection, run_id: str, hotkey: str, celsius: Sequence[float]) -> None:
    query = "UPDATE stations_miner SET celsius = $3 WHERE run_id = $1 AND hotkey = $2 AND celsius IS NULL"
    await conn.execute(query, run_id, hotkey, list(celsius))


async def keep_scores(conn: Connection, run_id: str, rmse: Mapping[str, float], at: datetime) -> None:
    """Who answered scores 1 / (1 + RMSE), the others zero."""
    for miner in await load_miners(conn, run_id):
        error = rmse.get(miner["hotkey"])
        told = (0.0, "no_forecast", "no forecast in time") if error is None else (1.0 / (1.0 + error), None, None)
        await conn.execute(_SCORE, run_id, miner["hotkey"], error, *told)
    await conn.execute("UPDATE stations_run SET scored_at = $2 WHERE run_id = $1", run_id, at)


async def load_scores(conn: Connection, run_id: str) -> list[MinerScore]:
    columns = ("hotkey", "score", "reason_code", "reason")
    return [MinerScore(**{name: row[name] for name in columns}) for row in await load_miners(conn, run_id)]


async def newest_scored(conn: Connection, netuid: int) -> RunId | None:
    run_id: RunId | None = await conn.fetchval(_NEWEST, netuid)
    return run_id
