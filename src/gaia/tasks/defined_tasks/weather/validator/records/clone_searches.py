"""SQL of the clone searches: which leads of a run have been searched, and the results."""

from __future__ import annotations

import msgspec

from gaia.contracts.job import Connection
from gaia.tasks.defined_tasks.weather.validator.handlers.score_payloads import ClonesResult

_PUT = """
INSERT INTO clone_search (run_id, lead_h, result, policy_digest) VALUES ($1, $2, $3, $4)
ON CONFLICT (run_id, lead_h) DO NOTHING RETURNING lead_h
"""


async def put_clone_search(conn: Connection, run_id: str, result: ClonesResult) -> bool:
    """Write the result for one lead. False: there is already a result for that lead, and it stays."""
    row = await conn.fetchval(_PUT, run_id, result.lead_h, msgspec.to_builtins(result), result.policy_digest)
    return row is not None


async def searched_leads(conn: Connection, run_id: str) -> frozenset[int]:
    """The leads of a run that have been searched."""
    rows = await conn.fetch("SELECT lead_h FROM clone_search WHERE run_id = $1", run_id)
    return frozenset(row["lead_h"] for row in rows)
