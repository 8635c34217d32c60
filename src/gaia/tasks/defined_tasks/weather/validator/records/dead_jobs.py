"""SQL and typed rows of dead jobs that a run still waits for. Reads the queue's table, and never changes it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from gaia.contracts.ids import Hotkey, RunId
from gaia.contracts.job import Connection


class DeadJob(Struct, frozen=True, kw_only=True):
    """A dead job whose run is still open."""

    job_id: int
    kind: str
    run_id: RunId
    hotkey: Hotkey | None
    """None: the job was about the whole run."""
    last_error: str | None


_AWAITED = """
SELECT j.id AS job_id, j.kind, r.run_id, m.hotkey, j.last_error
FROM job j
JOIN run r ON r.run_id = j.payload ->> 'run_id'
LEFT JOIN run_miner m ON m.run_id = r.run_id AND m.hotkey = j.payload ->> 'hotkey'
WHERE j.state = 'dead' AND r.state IN ('collecting', 'scoring')
  AND (j.kind = ANY($1::text[]) AND m.state NOT IN ('scored', 'failed') OR j.kind = $2 AND r.state = 'collecting')
ORDER BY j.id LIMIT 500
"""


async def load_awaited(conn: Connection, *, miner_kinds: Sequence[str], collect_kind: str) -> Sequence[DeadJob]:
    """Dead jobs of `miner_kinds` whose miner is still in its run, and of `collect_kind` whose run still collects."""
    return [DeadJob(**dict(row)) for row in await conn.fetch(_AWAITED, list(miner_kinds), collect_kind)]
