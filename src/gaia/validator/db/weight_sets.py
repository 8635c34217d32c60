"""The table of the weights that were set: SQL and typed rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from gaia.contracts.ids import Hotkey, RunId
from gaia.contracts.job import Connection


class WeightSet(Struct, frozen=True, kw_only=True):
    """One row of `weight_set`."""

    id: int
    netuid: int
    run_id: RunId
    emission: Mapping[Hotkey, float]
    submitted: Mapping[int, int]
    submitted_at: datetime
    read_back_at: datetime | None
    alarm: str | None


_COLUMNS = "id, netuid, run_id, emission, submitted, submitted_at, read_back_at, alarm"
_INSERT = """
INSERT INTO weight_set (netuid, run_id, emission, submitted, submitted_at, alarm) VALUES ($1, $2, $3, $4, $5, $6)
RETURNING id
"""
_SELECT = f"SELECT {_COLUMNS} FROM weight_set WHERE id = $1"  # noqa: S608  constant columns
_NEWEST_OF = f"SELECT {_COLUMNS} FROM weight_set WHERE run_id = $1 ORDER BY id DESC LIMIT 1"  # noqa: S608
_LAST_GOOD = f"""
SELECT {_COLUMNS} FROM weight_set WHERE netuid = $1 AND read_back_at IS NOT NULL ORDER BY id DESC LIMIT 1
"""  # noqa: S608


async def insert_weight_set(
    conn: Connection,
    *,
    netuid: int,
    run_id: str,
    emission: Mapping[Hotkey, float],
    submitted: Mapping[int, int],
    submitted_at: datetime,
    alarm: str | None,
) -> int:
    """Store the submitted weights. Returns the row's id."""
    identity: int = await conn.fetchval(
        _INSERT, netuid, run_id, dict(emission), {str(uid): value for uid, value in submitted.items()}, submitted_at,
        alarm,
    )  # fmt: skip
    return identity


async def load_weight_set(conn: Connection, weight_set_id: int) -> WeightSet:
    """Load one row. It exists, because the job that names it was put in the transaction that wrote the row."""
    return _weight_set(await conn.fetchrow(_SELECT, weight_set_id))


async def newest_of_run(conn: Connection, run_id: str) -> WeightSet | None:
    """The last weights that were submitted after a run; None if there are none yet."""
    row = await conn.fetchrow(_NEWEST_OF, run_id)
    return None if row is None else _weight_set(row)


async def last_good(conn: Connection, netuid: int) -> WeightSet | None:
    """The newest weights that were read back from the chain; None if there are none."""
    row = await conn.fetchrow(_LAST_GOOD, netuid)
    return None if row is None else _weight_set(row)


async def mark_read_back(conn: Connection, weight_set_id: int, at: datetime) -> None:
    """Store that the chain holds the submitted weights."""
    await conn.execute("UPDATE weight_set SET read_back_at = $2 WHERE id = $1", weight_set_id, at)


async def raise_alarm(conn: Connection, weight_set_id: int, alarm: str) -> None:
    """Store that something is wrong with these weights, for a person to check."""
    await conn.execute("UPDATE weight_set SET alarm = $2 WHERE id = $1", weight_set_id, alarm)


def _weight_set(row: Any) -> WeightSet:
    fields = dict(row)
    fields["submitted"] = {int(uid): value for uid, value in fields["submitted"].items()}
    return WeightSet(**fields)
