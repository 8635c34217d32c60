"""The leaderboard of a run: the task's standings, with the weights that were set from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from gaia.contracts.ids import Hotkey
from gaia.contracts.job import Connection
from gaia.tasks.defined_tasks.views import TaskViews, published
from gaia.validator.db.weight_sets import newest_of_run


class LeaderboardRow(Struct, frozen=True, kw_only=True):
    """One miner in the leaderboard of a run. Score and weight as they are `published`."""

    rank: int
    hotkey: Hotkey
    uid: int
    score: float | None
    emission_weight: float
    """The share of the whole emission in the last weights from this run. 0 if none were set."""
    status: str
    reason_code: str | None
    reason: str | None


async def leaderboard(conn: Connection, views: TaskViews[Any], run_id: str) -> Sequence[LeaderboardRow]:
    """All miners in a run, best first. Miners without a score are last. Raises RunUnknown."""
    standings = await views.standings(conn, run_id)
    weights = await newest_of_run(conn, run_id)
    emission = weights.emission if weights else {}
    return [
        LeaderboardRow(
            rank=standing.rank,
            hotkey=standing.hotkey,
            uid=standing.uid,
            score=standing.score,
            emission_weight=published(emission.get(standing.hotkey, 0.0)) or 0.0,
            status=standing.status,
            reason_code=standing.reason_code,
            reason=standing.reason,
        )
        for standing in standings
    ]
