"""The tables of the weights that were set, and of the runs that they came from: SQL and typed rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from gaia.contracts.ids import Hotkey, RunId
from gaia.contracts.job import Connection


class WeightPart(Struct, frozen=True, kw_only=True):
    """One row of `weight_set_part`: what one task's scores contributed."""

    task: str
    run_id: RunId
    """The run that the scores belong to."""
    share: float
    """The task's share of the emission. The shares of a set sum to 1."""
    emission: Mapping[Hotkey, float]
    """The weights within the task. They sum to 1."""


class WeightSet(Struct, frozen=True, kw_only=True):
    """One row of `weight_set`, with its parts. After an alarm `emission` is the last good one, not the parts'."""

    id: int
    netuid: int
    parts: tuple[WeightPart, ...]
    emission: Mapping[Hotkey, float]
    submitted: Mapping[int, int]
    submitted_at: datetime
    read_back_at: datetime | None
    alarm: str | None

    def part_of(self, run_id: str) -> WeightPart | None:
        """The part that a run contributed; None if there is none."""
        return next((part for part in self.parts if part.run_id == run_id), None)


class WeightsState(Struct, frozen=True, kw_only=True):
    """Whether the weights that followed from a run are on the chain."""

    set: bool
    read_back: bool
    alarm: str | None


_COLUMNS = """w.id, w.netuid, w.emission, w.submitted, w.submitted_at, w.read_back_at, w.alarm,
  (SELECT coalesce(jsonb_agg(jsonb_build_object('task', p.task, 'run_id', p.run_id, 'share', p.share,
    'emission', p.emission) ORDER BY p.task), '[]') FROM weight_set_part p WHERE p.weight_set_id = w.id) AS parts"""
_INSERT = """
INSERT INTO weight_set (netuid, emission, submitted, submitted_at, alarm) VALUES ($1, $2, $3, $4, $5) RETURNING id
"""
_INSERT_PART = """
INSERT INTO weight_set_part (weight_set_id, task, run_id, share, emission) VALUES ($1, $2, $3, $4, $5)
"""
_SELECT = f"SELECT {_COLUMNS} FROM weight_set w WHERE w.id = $1"  # noqa: S608  constant columns
_NEWEST_OF = f"""
SELECT {_COLUMNS} FROM weight_set w WHERE w.id = (SELECT max(weight_set_id) FROM weight_set_part WHERE run_id = $1)
"""  # noqa: S608
_LAST_GOOD = f"""
SELECT {_COLUMNS} FROM weight_set w WHERE w.netuid = $1 AND w.read_back_at IS NOT NULL ORDER BY w.id DESC LIMIT 1
"""  # noqa: S608
_LAST_SOUND = f"""
SELECT {_COLUMNS} FROM weight_set w WHERE w.netuid = $1 AND w.read_back_at IS NOT NULL AND w.alarm IS NULL
ORDER BY w.id DESC LIMIT 1
"""  # noqa: S608
_IS_SUPERSEDED = "SELECT EXISTS (SELECT FROM weight_set WHERE netuid = $1 AND id > $2)"
_STATE = """
SELECT count(*) > 0 AS set, coalesce(bool_or(w.read_back_at IS NOT NULL), false) AS read_back, max(w.alarm) AS alarm
FROM weight_set w JOIN weight_set_part p ON p.weight_set_id = w.id WHERE p.run_id = $1
"""


async def insert_weight_set(
    conn: Connection,
    *,
    netuid: int,
    parts: Sequence[WeightPart],
    emission: Mapping[Hotkey, float],
    submitted: Mapping[int, int],
    submitted_at: datetime,
    alarm: str | None,
) -> int:
    """Store the submitted weights. Returns the row's id."""
    identity: int = await conn.fetchval(
        _INSERT, netuid, dict(emission), {str(uid): value for uid, value in submitted.items()}, submitted_at, alarm
    )
    rows = [(identity, part.task, part.run_id, part.share, dict(part.emission)) for part in parts]
    await conn.executemany(_INSERT_PART, rows)
    return identity


async def load_weight_set(conn: Connection, weight_set_id: int) -> WeightSet:
    """Load one row. It exists, because the job that names it was put in the transaction that wrote the row."""
    return _weight_set(await conn.fetchrow(_SELECT, weight_set_id))


async def newest_of_run(conn: Connection, run_id: str) -> WeightSet | None:
    """The last weights that were submitted from the scores of a run; None if there are none yet."""
    row = await conn.fetchrow(_NEWEST_OF, run_id)
    return None if row is None else _weight_set(row)


async def weights_state(conn: Connection, run_id: str) -> WeightsState:
    """Whether a run's weights were set and read back."""
    return WeightsState(**dict(await conn.fetchrow(_STATE, run_id)))


async def last_good(conn: Connection, netuid: int) -> WeightSet | None:
    """The newest weights that were read back from the chain; None if there are none."""
    row = await conn.fetchrow(_LAST_GOOD, netuid)
    return None if row is None else _weight_set(row)


async def last_sound(conn: Connection, netuid: int) -> WeightSet | None:
    """The newest weights that were read back and that followed from their parts; None if there are none."""
    row = await conn.fetchrow(_LAST_SOUND, netuid)
    return None if row is None else _weight_set(row)


async def is_superseded(conn: Connection, weight_set: WeightSet) -> bool:
    """Whether other weights have been submitted since."""
    return bool(await conn.fetchval(_IS_SUPERSEDED, weight_set.netuid, weight_set.id))


async def mark_read_back(conn: Connection, weight_set_id: int, at: datetime) -> None:
    """Store that the chain holds the submitted weights."""
    await conn.execute("UPDATE weight_set SET read_back_at = $2 WHERE id = $1", weight_set_id, at)


async def raise_alarm(conn: Connection, weight_set_id: int, alarm: str) -> None:
    """Store that something is wrong with these weights, for a person to check."""
    await conn.execute("UPDATE weight_set SET alarm = $2 WHERE id = $1", weight_set_id, alarm)


def _weight_set(row: Any) -> WeightSet:
    fields = dict(row)
    fields["parts"] = msgspec.convert(fields["parts"], tuple[WeightPart, ...])
    fields["submitted"] = {int(uid): value for uid, value in fields["submitted"].items()}
    return WeightSet(**fields)
