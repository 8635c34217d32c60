"""The task's runs as `gaia runs`, `leaderboard` and `explain` show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gaia.contracts.errors import ConfigurationError
from gaia.contracts.ids import RunId
from gaia.contracts.job import Connection, NewJob
from gaia.tasks.defined_tasks.base import MinerScore
from gaia.tasks.defined_tasks.checks import Check, checked
from gaia.tasks.defined_tasks.views import Account, Pay, RunSummary, RunUnknown, Standing, published
from tests.support.stations import records
from tests.support.stations.task import OPEN, job_of


class StationsAccount(Account, frozen=True, kw_only=True):
    rmse: float | None
    score: float | None


class StationsViews:
    """The TaskViews."""

    def open_job(self, run_id: RunId) -> NewJob:
        return job_of(OPEN, run_id)

    async def has_run(self, conn: Connection, run_id: str) -> bool:
        return await records.load_run(conn, run_id) is not None

    async def runs(self, conn: Connection, limit: int) -> Sequence[RunSummary]:
        rows = await conn.fetch(
            "SELECT r.*, count(m.hotkey)::int AS miners, count(m.score)::int AS scored FROM stations_run r"
            " LEFT JOIN stations_miner m USING (run_id) GROUP BY r.run_id ORDER BY r.init_time DESC LIMIT $1",
            limit,
        )
        return [
            RunSummary(
                run_id=row["run_id"], init_time=row["init_time"], opened_at=row["opened_at"],
                state="collecting" if row["scored_at"] is None else "scored", commit_deadline=row["deadline"],
                miners=row["miners"], scored=row["scored"], void_reason=None,
            )
            for row in rows
        ]  # fmt: skip

    async def standings(self, conn: Connection, run_id: str) -> Sequence[Standing]:
        if not await self.has_run(conn, run_id):
            raise RunUnknown(f"there is no run {run_id!r}")
        rows = sorted(await records.load_miners(conn, run_id), key=lambda row: -(row["score"] or 0.0))
        return [
            Standing(
                rank=rank, hotkey=row["hotkey"], uid=row["uid"], score=published(row["score"]),
                status="asked" if row["score"] is None else "scored", reason_code=row["reason_code"],
                reason=row["reason"],
            )
            for rank, row in enumerate(rows, start=1)
        ]  # fmt: skip

    async def scores(self, conn: Connection, run_id: str) -> Sequence[MinerScore]:
        return await records.load_scores(conn, run_id)

    async def explain(self, conn: Connection, run_id: str, miner: str) -> StationsAccount:
        scored_at = (await records.load_run(conn, run_id))["scored_at"]
        for row in await records.load_miners(conn, run_id):
            if miner in (row["hotkey"], str(row["uid"])):
                again = None if row["rmse"] is None else 1.0 / (1.0 + row["rmse"])
                check = checked("the score", row["score"] or None, again)
                return StationsAccount(
                    hotkey=row["hotkey"], checks=(check,), paid_from=scored_at, rmse=row["rmse"], score=row["score"]
                )
        raise ConfigurationError(f"{miner!r} is in no way in {run_id}")

    def lines(
        self, account: StationsAccount, pay: Pay | None, differing: Sequence[Check], lead_h: int | None
    ) -> list[str]:
        earned = "" if pay is None or pay.weight_stored is None else f" It earns {pay.weight_stored:.6f} of all."
        return [f"RMSE {account.rmse} K, score {account.score}.{earned}"]


VIEWS: Final = StationsViews()
