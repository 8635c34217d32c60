"""Which leads of a run the search for clones has been through, and what it found: SQL."""

from __future__ import annotations

import msgspec

from gaia.contracts.job import Connection
from gaia.tasks.defined_tasks.weather.validator.handlers.score_payloads import ClonesResult

_PUT = """
INSERT INTO clone_search (run_id, lead_h, result, policy_digest) VALUES ($1, $2, $3, $4)
ON CONFLICT (run_id, lead_h) DO NOTHING RETURNING lead_h
"""


async def put_clone_search(conn: Connection, run_id: str, result: ClonesResult) -> bool:
    """Write what was found at one lead; False if a search of that lead is written already, which stands."""
    row = await conn.fetchval(_PUT, run_id, result.lead_h, msgspec.to_builtins(result), result.policy_digest)
    return row is not None


async def searched_leads(conn: Connection, run_id: str) -> frozenset[int]:
    """The leads of a run that need no further search."""
    rows = await conn.fetch("SELECT lead_h FROM clone_search WHERE run_id = $1", run_id)
    return frozenset(row["lead_h"] for row in rows)
