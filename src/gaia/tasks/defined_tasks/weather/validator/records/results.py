"""The results of a run: standings, components, progress, and everything stored about one miner.

Read-only SQL and typed rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from gaia.contracts.ids import Hotkey
from gaia.contracts.job import Connection
from gaia.tasks.defined_tasks.views import RunSummary, Standing, published
from gaia.tasks.defined_tasks.weather.validator.handlers.score_payloads import ClonesResult, Day1Result

T = TypeVar("T", bound=Struct)


class Component(Struct, frozen=True, kw_only=True):
    """The metrics of one field at one lead. Units are those of the variable table; None: not available."""

    hotkey: Hotkey
    lead_h: int
    variable: str
    level: int | None
    rmse: float
    mae: float
    bias: float
    acc: float | None
    skill_clim: float | None
    skill_ref: float | None


class MinerProgress(Struct, frozen=True, kw_only=True):
    """The progress of one miner in a run."""

    hotkey: Hotkey
    uid: int
    state: str
    leads_scored: int
    reason: str | None


class StoredGate(Struct, frozen=True, kw_only=True):
    """One row of `gate_score`. `score` and `passed` are also in `result`."""

    result: Day1Result
    score: float | None
    passed: bool | None
    policy_digest: str
    scored_at: datetime


class StoredLead(Struct, frozen=True, kw_only=True):
    """One row of `score` with its field set. The tuples run along the fields, in single precision."""

    lead_h: int
    variable: tuple[str, ...]
    level_hpa: tuple[int, ...]
    """0: a surface field."""
    field_set_digest: str
    bias: tuple[float, ...]
    mae: tuple[float, ...]
    rmse: tuple[float, ...]
    acc: tuple[float | None, ...]
    skill_clim: tuple[float | None, ...]
    skill_ref: tuple[float | None, ...]
    component: tuple[float | None, ...]
    lead_score: float
    policy_digest: str
    truth: str
    climatology: str | None
    reference: str | None
    scored_at: datetime


class StoredScore(Struct, frozen=True, kw_only=True):
    """One row of `run_score`."""

    score: float | None
    reason_code: str | None
    reason: str | None
    policy_digest: str
    combined_at: datetime


_STANDINGS = """
SELECT row_number() OVER (ORDER BY rs.score DESC NULLS LAST, m.uid)::int AS rank, m.hotkey, m.uid, rs.score,
       m.state AS status,
       coalesce(rs.reason_code, m.reason_code) AS reason_code, coalesce(rs.reason, m.reason) AS reason
FROM run_miner m
LEFT JOIN run_score rs ON rs.run_id = m.run_id AND rs.hotkey = m.hotkey
WHERE m.run_id = $1 ORDER BY rank
"""
_COMPONENTS = """
SELECT hotkey, lead_h, variable, level_hpa AS level, rmse, mae, bias, acc, skill_clim, skill_ref
FROM score_component WHERE run_id = $1 ORDER BY hotkey, lead_h, position
"""
_GATE = "SELECT result, score, passed, policy_digest, scored_at FROM gate_score WHERE run_id = $1 AND hotkey = $2"
_LEADS = """
SELECT s.lead_h, f.variable, f.level_hpa, f.digest AS field_set_digest, s.bias, s.mae, s.rmse, s.acc, s.skill_clim,
       s.skill_ref, s.component, s.lead_score, s.policy_digest, s.truth, s.climatology, s.reference, s.scored_at
FROM score s JOIN field_set f ON f.id = s.field_set_id
WHERE s.run_id = $1 AND s.hotkey = $2 ORDER BY s.lead_h
"""
_SCORE = """
SELECT score, reason_code, reason, policy_digest, combined_at FROM run_score WHERE run_id = $1 AND hotkey = $2
"""
_CLONES = "SELECT result FROM clone_search WHERE run_id = $1 ORDER BY lead_h"
_WRITTEN = """
SELECT (SELECT count(*) FROM score WHERE run_id = ANY($1::text[]) AND scored_at > $2 AND scored_at <= $3)
     + (SELECT count(*) FROM run_miner
        WHERE run_id = ANY($1::text[]) AND state = 'failed' AND updated_at > $2 AND updated_at <= $3)
"""
_PROGRESS = """
SELECT m.hotkey, m.uid, m.state, m.reason, count(s.lead_h)::int AS leads_scored
FROM run_miner m LEFT JOIN score s ON s.run_id = m.run_id AND s.hotkey = m.hotkey
WHERE m.run_id = $1 GROUP BY m.hotkey, m.uid, m.state, m.reason ORDER BY m.uid
"""
_RUNS = """
SELECT r.run_id, r.init_time, r.state, r.opened_at, r.commit_deadline, r.void_reason,
       count(m.hotkey)::int AS miners, count(m.hotkey) FILTER (WHERE m.state = 'scored')::int AS scored
FROM run r LEFT JOIN run_miner m ON m.run_id = r.run_id
GROUP BY r.run_id ORDER BY r.init_time DESC LIMIT $1
"""


async def standings(conn: Connection, run_id: str) -> Sequence[Standing]:
    """Everybody in a run, best first; those without a score last. Scores as they are `published`."""
    return [Standing(**{**row, "score": published(row["score"])}) for row in await conn.fetch(_STANDINGS, run_id)]


async def components(conn: Connection, run_id: str) -> Sequence[Component]:
    """Every metric of a run, in the order of the specification."""
    return [Component(**dict(row)) for row in await conn.fetch(_COMPONENTS, run_id)]


async def progress(conn: Connection, run_id: str) -> Sequence[MinerProgress]:
    """The progress of every miner, by uid."""
    return [MinerProgress(**dict(row)) for row in await conn.fetch(_PROGRESS, run_id)]


async def runs(conn: Connection, limit: int) -> Sequence[RunSummary]:
    """The latest runs, newest first."""
    return [RunSummary(**dict(row)) for row in await conn.fetch(_RUNS, limit)]


async def stored_gate(conn: Connection, run_id: str, hotkey: str) -> StoredGate | None:
    """The gate's verdict on a miner; None if there is none."""
    return _typed(await conn.fetchrow(_GATE, run_id, hotkey), StoredGate)


async def stored_leads(conn: Connection, run_id: str, hotkey: str) -> Sequence[StoredLead]:
    """Every scored lead of a miner, the shortest first."""
    rows = await conn.fetch(_LEADS, run_id, hotkey)
    return [msgspec.convert(dict(row), StoredLead) for row in rows]


async def stored_score(conn: Connection, run_id: str, hotkey: str) -> StoredScore | None:
    """The miner's score over the window that ends with a run; None if there is none yet."""
    return _typed(await conn.fetchrow(_SCORE, run_id, hotkey), StoredScore)


async def clone_searches(conn: Connection, run_id: str) -> Sequence[ClonesResult]:
    """The results of the clone searches, the shortest lead first."""
    return [msgspec.convert(row["result"], ClonesResult) for row in await conn.fetch(_CLONES, run_id)]


async def written_between(conn: Connection, run_ids: Sequence[str], after: datetime, until: datetime) -> int:
    """How many scores and failures of some runs were written in an interval of the database's clock."""
    count: int = await conn.fetchval(_WRITTEN, list(run_ids), after, until)
    return count


def _typed(row: Any, kind: type[T]) -> T | None:
    return None if row is None else msgspec.convert(dict(row), kind)
