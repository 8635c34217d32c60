"""What came of a run, for people and machines: leaderboard, components, progress. Read-only SQL and typed rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from gaia.contracts.ids import Hotkey, RunId
from gaia.contracts.job import Connection


class Standing(Struct, frozen=True, kw_only=True):
    """One miner in the leaderboard of a run."""

    rank: int
    hotkey: Hotkey
    uid: int
    score: float | None
    emission_weight: float
    status: str
    """The miner's state in the run, see records.runs.MinerState."""
    reason_code: str | None
    reason: str | None


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
    """How far one miner has come."""

    hotkey: Hotkey
    uid: int
    state: str
    leads_scored: int
    reason: str | None


class RunSummary(Struct, frozen=True, kw_only=True):
    """One run among others."""

    run_id: RunId
    init_time: datetime
    state: str
    opened_at: datetime
    commit_deadline: datetime
    miners: int
    scored: int
    void_reason: str | None


_LEADERBOARD = """
SELECT row_number() OVER (ORDER BY rs.score DESC NULLS LAST, m.uid)::int AS rank, m.hotkey, m.uid, rs.score,
       coalesce((w.emission ->> m.hotkey)::double precision, 0) AS emission_weight, m.state AS status,
       coalesce(rs.reason_code, m.reason_code) AS reason_code, coalesce(rs.reason, m.reason) AS reason
FROM run_miner m
LEFT JOIN run_score rs ON rs.run_id = m.run_id AND rs.hotkey = m.hotkey
LEFT JOIN LATERAL (SELECT emission FROM weight_set WHERE run_id = m.run_id ORDER BY id DESC LIMIT 1) w ON true
WHERE m.run_id = $1 ORDER BY rank
"""
_COMPONENTS = """
SELECT hotkey, lead_h, variable, level_hpa AS level, rmse, mae, bias, acc, skill_clim, skill_ref
FROM score_component WHERE run_id = $1 ORDER BY hotkey, lead_h, position
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
_WEIGHTS = """
SELECT count(*) > 0 AS set, coalesce(bool_or(read_back_at IS NOT NULL), false) AS read_back, max(alarm) AS alarm
FROM weight_set WHERE run_id = $1
"""


class WeightsState(Struct, frozen=True, kw_only=True):
    """Whether the run's weights are on the chain."""

    set: bool
    read_back: bool
    alarm: str | None


async def leaderboard(conn: Connection, run_id: str) -> Sequence[Standing]:
    """Everybody in a run, best first; those without a score last."""
    return [Standing(**dict(row)) for row in await conn.fetch(_LEADERBOARD, run_id)]


async def components(conn: Connection, run_id: str) -> Sequence[Component]:
    """Every metric of a run, in the order of the specification."""
    return [Component(**dict(row)) for row in await conn.fetch(_COMPONENTS, run_id)]


async def progress(conn: Connection, run_id: str) -> Sequence[MinerProgress]:
    """How far everybody has come, by uid."""
    return [MinerProgress(**dict(row)) for row in await conn.fetch(_PROGRESS, run_id)]


async def runs(conn: Connection, limit: int) -> Sequence[RunSummary]:
    """The latest runs, newest first."""
    return [RunSummary(**dict(row)) for row in await conn.fetch(_RUNS, limit)]


async def weights_state(conn: Connection, run_id: str) -> WeightsState:
    """Whether a run's weights were set and read back."""
    return WeightsState(**dict(await conn.fetchrow(_WEIGHTS, run_id)))
