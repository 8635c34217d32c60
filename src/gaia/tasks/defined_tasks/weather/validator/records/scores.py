"""SQL and typed rows of scores.

There is one row for each (run, hotkey, lead), with arrays over a field set; one row for the gate; and one for the
combined score.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from gaia.contracts.ids import Hotkey, RunId
from gaia.contracts.job import Connection
from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.base import MinerScore
from gaia.tasks.defined_tasks.weather.validator.handlers.score_payloads import Day1Result, Era5Result


class LeadScore(Struct, frozen=True, kw_only=True):
    """The score of one miner at one lead of one run."""

    run_id: RunId
    hotkey: Hotkey
    lead_h: int
    lead_score: float


_PUT_FIELD_SET = """
INSERT INTO field_set (digest, variable, level_hpa) VALUES ($1, $2, $3)
ON CONFLICT (digest) DO UPDATE SET digest = excluded.digest RETURNING id
"""
_PUT_SCORE = """
INSERT INTO score (run_id, hotkey, lead_h, field_set_id, bias, mae, rmse, acc, skill_clim, skill_ref, component,
                   lead_score, policy_digest, truth, climatology, reference)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT (run_id, hotkey, lead_h) DO UPDATE SET
  field_set_id = excluded.field_set_id, bias = excluded.bias, mae = excluded.mae, rmse = excluded.rmse,
  acc = excluded.acc, skill_clim = excluded.skill_clim, skill_ref = excluded.skill_ref,
  component = excluded.component, lead_score = excluded.lead_score, policy_digest = excluded.policy_digest,
  truth = excluded.truth, climatology = excluded.climatology, reference = excluded.reference, scored_at = now()
"""
_PUT_GATE = """
INSERT INTO gate_score (run_id, hotkey, result, score, passed, policy_digest, truth, climatology, reference)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (run_id, hotkey) DO UPDATE SET result = excluded.result, score = excluded.score,
  passed = excluded.passed, policy_digest = excluded.policy_digest, truth = excluded.truth,
  climatology = excluded.climatology, reference = excluded.reference, scored_at = now()
"""
_LEAD_SCORES = """
SELECT s.run_id, s.hotkey, s.lead_h, s.lead_score FROM score s
WHERE s.run_id = ANY($1::text[]) AND ($2::timestamptz IS NULL OR s.scored_at <= $2)
ORDER BY s.run_id, s.hotkey, s.lead_h
"""
# Whether all the given leads of a verified miner, and the gate if there is one, are scored.
_COMPLETE = """
  (SELECT count(*) FROM score s WHERE s.run_id = m.run_id AND s.hotkey = m.hotkey AND s.lead_h = ANY($2::smallint[]))
    = cardinality($2::smallint[])
  AND (NOT $3::boolean OR EXISTS (SELECT FROM gate_score g WHERE g.run_id = m.run_id AND g.hotkey = m.hotkey))
"""
_MARK_SCORED = f"""
UPDATE run_miner m SET state = 'scored', reason_code = NULL, reason = NULL, fault = NULL, updated_at = now()
WHERE m.run_id = $1 AND m.state = 'verified' AND {_COMPLETE}
"""  # noqa: S608  constant text
_IS_WAITED_FOR = f"""
SELECT EXISTS (
  SELECT FROM run_miner m WHERE m.run_id = $1
  AND (m.state IN ('listed', 'acknowledged', 'committed', 'frozen') OR m.state = 'verified' AND NOT ({_COMPLETE})))
"""  # noqa: S608
_PUT_COMBINED = """
INSERT INTO run_score (run_id, hotkey, score, reason_code, reason, policy_digest) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (run_id, hotkey) DO UPDATE SET score = excluded.score, reason_code = excluded.reason_code,
  reason = excluded.reason, policy_digest = excluded.policy_digest, combined_at = now()
"""
_NEWER_COMBINED = """
SELECT newer.run_id FROM run r JOIN run newer ON newer.netuid = r.netuid AND newer.init_time > r.init_time
WHERE r.run_id = $1 AND newer.state IN ('scoring', 'scored')
  AND EXISTS (SELECT FROM run_score s WHERE s.run_id = newer.run_id AND s.score > 0)
ORDER BY newer.init_time DESC LIMIT 1
"""
_NEWEST_COMBINED = """
SELECT run_id FROM run WHERE netuid = $1 AND state IN ('scoring', 'scored')
  AND EXISTS (SELECT FROM run_score s WHERE s.run_id = run.run_id AND s.score > 0)
ORDER BY init_time DESC LIMIT 1
"""
_COMBINED = """
SELECT hotkey, score, reason_code, reason FROM run_score WHERE run_id = $1 ORDER BY score DESC NULLS LAST, hotkey
"""


async def put_era5(conn: Connection, run_id: str, hotkey: str, result: Era5Result, policy_digest: str) -> None:
    """Write the scores of one lead. A second call with the same result changes nothing."""
    field_set_id = await _field_set(conn, [FieldId(*field) for field in result.fields])
    await conn.execute(
        _PUT_SCORE, run_id, hotkey, result.lead_h, field_set_id, list(result.bias), list(result.mae),
        list(result.rmse), list(result.acc), list(result.skill_clim), list(result.skill_ref), list(result.component),
        result.lead_score, policy_digest, result.against.truth, result.against.climatology, result.against.reference,
    )  # fmt: skip


async def put_day1(conn: Connection, run_id: str, hotkey: str, result: Day1Result, policy_digest: str) -> None:
    """Write the gate's verdict."""
    await conn.execute(
        _PUT_GATE, run_id, hotkey, msgspec.to_builtins(result), result.score, result.passed, policy_digest,
        result.against.truth, result.against.climatology, result.against.reference,
    )  # fmt: skip


async def load_gates(conn: Connection, run_id: str) -> Mapping[Hotkey, Day1Result]:
    """The gate's verdicts of a run."""
    rows = await conn.fetch("SELECT hotkey, result FROM gate_score WHERE run_id = $1", run_id)
    return {Hotkey(row["hotkey"]): msgspec.convert(row["result"], Day1Result) for row in rows}


async def load_lead_scores(
    conn: Connection, run_ids: Sequence[str], *, known_by: datetime | None = None
) -> Sequence[LeadScore]:
    """All lead scores of some runs. `known_by`, a time of the database's clock, leaves out later ones."""
    return [LeadScore(**dict(row)) for row in await conn.fetch(_LEAD_SCORES, list(run_ids), known_by)]


async def mark_scored(conn: Connection, run_id: str, leads_h: Collection[int], *, has_gate: bool) -> None:
    """Set the state SCORED for every verified miner that has all these leads, and the gate, scored."""
    await conn.execute(_MARK_SCORED, run_id, sorted(leads_h), has_gate)


async def is_waited_for(conn: Connection, run_id: str, due_h: Collection[int], *, has_gate: bool) -> bool:
    """Whether any miner of a run is not verified yet, or not scored at a due lead."""
    return bool(await conn.fetchval(_IS_WAITED_FOR, run_id, sorted(due_h), has_gate))


async def put_combined(conn: Connection, run_id: str, scores: Sequence[MinerScore], policy_digest: str) -> None:
    """Write the combined scores of a run."""
    await conn.executemany(
        _PUT_COMBINED, [(run_id, s.hotkey, s.score, s.reason_code, s.reason, policy_digest) for s in scores]
    )


async def newest_combined_after(conn: Connection, run_id: str) -> RunId | None:
    """The newest later run that has a combined score above zero; None if there is none."""
    newest: RunId | None = await conn.fetchval(_NEWER_COMBINED, run_id)
    return newest


async def newest_combined(conn: Connection, netuid: int) -> RunId | None:
    """The newest run that has a combined score above zero; None if there is none."""
    newest: RunId | None = await conn.fetchval(_NEWEST_COMBINED, netuid)
    return newest


async def load_combined(conn: Connection, run_id: str) -> Sequence[MinerScore]:
    """The combined scores of a run, the best first."""
    rows: list[Any] = await conn.fetch(_COMBINED, run_id)
    return [MinerScore(**dict(row)) for row in rows]


async def _field_set(conn: Connection, fields: Sequence[FieldId]) -> int:
    digest = hashlib.sha256(msgspec.json.encode(fields)).hexdigest()
    identity: int = await conn.fetchval(
        _PUT_FIELD_SET, digest, [f.variable for f in fields], [f.level_hpa or 0 for f in fields]
    )
    return identity
