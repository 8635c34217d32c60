"""The weather's runs as `gaia runs`, `leaderboard` and `explain` show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gaia.contracts.ids import RunId
from gaia.contracts.job import Connection, NewJob
from gaia.tasks.defined_tasks.base import MinerScore
from gaia.tasks.defined_tasks.checks import Check
from gaia.tasks.defined_tasks.views import Pay, RunSummary, RunUnknown, Standing
from gaia.tasks.defined_tasks.weather.validator.explain.explanation import Explanation
from gaia.tasks.defined_tasks.weather.validator.records import results
from gaia.tasks.defined_tasks.weather.validator.records.runs import load_run
from gaia.tasks.defined_tasks.weather.validator.records.scores import load_combined
from gaia.tasks.defined_tasks.weather.validator.steps.lifecycle import Kind, run_job


class WeatherViews:
    """The TaskViews of the weather."""

    def open_job(self, run_id: RunId) -> NewJob:
        return run_job(Kind.OPEN_RUN, run_id)

    async def has_run(self, conn: Connection, run_id: str) -> bool:
        try:
            await load_run(conn, run_id)
        except RunUnknown:
            return False
        return True

    async def runs(self, conn: Connection, limit: int) -> Sequence[RunSummary]:
        return await results.runs(conn, limit)

    async def standings(self, conn: Connection, run_id: str) -> Sequence[Standing]:
        await load_run(conn, run_id)
        return await results.standings(conn, run_id)

    async def scores(self, conn: Connection, run_id: str) -> Sequence[MinerScore]:
        return await load_combined(conn, run_id)

    async def explain(self, conn: Connection, run_id: str, miner: str) -> Explanation:
        from gaia.tasks.defined_tasks.weather.validator.explain.explain_miner import explain  # numpy

        return await explain(conn, run_id, miner)

    def lines(self, account: Explanation, pay: Pay | None, differing: Sequence[Check], lead_h: int | None) -> list[str]:
        from gaia.tasks.defined_tasks.weather.validator.explain.explanation_view import lines_of

        return lines_of(account, pay, differing, lead_h)


VIEWS: Final = WeatherViews()
