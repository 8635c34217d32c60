"""SQL and typed rows of frozen forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from gaia.contracts.errors import ValidatorFault
from gaia.contracts.ids import Hotkey, RunId
from gaia.contracts.job import Connection


class ForecastUnknown(ValidatorFault):
    """No such forecast is frozen, or it is not verified."""


class Forecast(Struct, frozen=True, kw_only=True):
    """One row of `forecast`. It is the only trusted description of a forecast."""

    run_id: RunId
    hotkey: Hotkey
    manifest: bytes
    manifest_digest: bytes
    nonce: bytes
    frozen_at: datetime
    verified_at: datetime | None
    store_path: str


_COLUMNS = "run_id, hotkey, manifest, manifest_digest, nonce, frozen_at, verified_at, store_path"
_FREEZE = """
INSERT INTO forecast (run_id, hotkey, manifest, manifest_digest, nonce, frozen_at, store_path)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING
"""
_SELECT = f"SELECT {_COLUMNS} FROM forecast WHERE run_id = $1 AND hotkey = $2"  # noqa: S608  constant columns
_VERIFIED = f"""
SELECT {_COLUMNS} FROM forecast WHERE run_id = $1 AND verified_at IS NOT NULL ORDER BY hotkey
"""  # noqa: S608


async def freeze(conn: Connection, forecast: Forecast) -> None:
    """Store a manifest for good. A second one for the same run and miner is ignored."""
    await conn.execute(
        _FREEZE, forecast.run_id, forecast.hotkey, forecast.manifest, forecast.manifest_digest, forecast.nonce,
        forecast.frozen_at, forecast.store_path,
    )  # fmt: skip


async def load_forecast(conn: Connection, run_id: str, hotkey: str) -> Forecast:
    """The frozen forecast of a miner. Raises ForecastUnknown."""
    row = await conn.fetchrow(_SELECT, run_id, hotkey)
    if row is None:
        raise ForecastUnknown(f"no forecast of {hotkey} is frozen in run {run_id}")
    return Forecast(**dict(row))


async def load_verified(conn: Connection, run_id: str) -> Sequence[Forecast]:
    """Every verified forecast of a run."""
    return [Forecast(**dict(row)) for row in await conn.fetch(_VERIFIED, run_id)]


async def mark_verified(conn: Connection, run_id: str, hotkey: str, at: datetime) -> None:
    """Note that the forecast's first chunks have been checked."""
    await conn.execute("UPDATE forecast SET verified_at = $3 WHERE run_id = $1 AND hotkey = $2", run_id, hotkey, at)
