"""The weather task: connects the steps of a run with their kinds of jobs, and scores units that name a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType

from gaia.contracts.ids import RunId
from gaia.contracts.job import Connection, Job, NewJob
from gaia.contracts.unit import ResultUnit, WorkUnit
from gaia.protocol.forecast_messages import WEATHER
from gaia.tasks.defined_tasks.base import MinerScore, Step, TaskContext, TaskResult
from gaia.tasks.defined_tasks.weather.production import run_spec_of
from gaia.tasks.defined_tasks.weather.section import WeatherSection
from gaia.tasks.defined_tasks.weather.settings import WeatherSettings
from gaia.tasks.defined_tasks.weather.supply.catalogue import SourceSet
from gaia.tasks.defined_tasks.weather.validator.field_cache import FieldCache
from gaia.tasks.defined_tasks.weather.validator.records.scores import load_combined, newest_combined
from gaia.tasks.defined_tasks.weather.validator.steps import score_forecast
from gaia.tasks.defined_tasks.weather.validator.steps.collect_commitments import collect_commitments
from gaia.tasks.defined_tasks.weather.validator.steps.combine_scores import combine_scores
from gaia.tasks.defined_tasks.weather.validator.steps.draw_picture import draw_picture
from gaia.tasks.defined_tasks.weather.validator.steps.freeze_forecast import freeze_forecast
from gaia.tasks.defined_tasks.weather.validator.steps.lifecycle import Kind
from gaia.tasks.defined_tasks.weather.validator.steps.open_run import due_run, open_run
from gaia.tasks.defined_tasks.weather.validator.steps.request_forecasts import request_forecasts
from gaia.tasks.defined_tasks.weather.validator.steps.settle_dead_jobs import due_releases, release_run
from gaia.tasks.defined_tasks.weather.validator.steps.verify_forecast import verify_forecast
from gaia.tasks.defined_tasks.weather.validator.weather_context import WeatherContext, WeatherStep

_STEPS: Mapping[Kind, WeatherStep] = MappingProxyType(
    {
        Kind.OPEN_RUN: open_run,
        Kind.REQUEST: request_forecasts,
        Kind.COLLECT: collect_commitments,
        Kind.FREEZE: freeze_forecast,
        Kind.VERIFY: verify_forecast,
        Kind.SCORE_DAY1: score_forecast.score_day1,
        Kind.SCORE_ERA5: score_forecast.score_era5,
        Kind.COMBINE: combine_scores,
        Kind.PICTURE: draw_picture,
        Kind.RELEASE: release_run,
    }
)


class WeatherTask:
    """The GaiaTask of global weather forecasts."""

    name = WEATHER

    def __init__(self, settings: WeatherSettings) -> None:
        self._settings = settings
        self._fields: FieldCache | None = None

    @property
    def steps(self) -> Mapping[str, Step]:
        """Job kind -> step."""
        return {kind: self._bound(step) for kind, step in _STEPS.items()}

    async def due_jobs(self, ctx: TaskContext) -> Sequence[NewJob]:
        """The job for the run that should be open by now, and jobs that release runs from dead jobs."""
        job = None if ctx.runs_by_hand else due_run(ctx.netuid, ctx.world.now())
        return [*([] if job is None else [job]), *await due_releases(ctx)]

    async def newest_scored_run(self, netuid: int, conn: Connection) -> RunId | None:
        """The newest run with a score above zero."""
        return await newest_combined(conn, netuid)

    async def scores(self, run_id: str, conn: Connection) -> Sequence[MinerScore]:
        """The combined scores after a run."""
        return await load_combined(conn, run_id)

    async def dispatch(self, unit: WorkUnit, ctx: TaskContext) -> ResultUnit | None:
        """Do a score unit that names a run as the run's own job would, and write the scores. None for other units."""
        if not score_forecast.names_a_run(unit):
            return None
        weather = self._weather(ctx)
        scored = await score_forecast.score(unit, weather)
        async with ctx.database.transaction() as conn:
            await score_forecast.record(scored, weather, conn)
        return scored.result

    def _bound(self, step: WeatherStep) -> Step:
        async def run(job: Job, ctx: TaskContext) -> TaskResult:
            return await step(job, self._weather(ctx))

        return run

    def _weather(self, ctx: TaskContext) -> WeatherContext:
        if self._fields is None:
            self._fields = FieldCache(ctx.data_dir / "cache" / "fields", ctx.compute)
        return WeatherContext(core=ctx, settings=self._settings, fields=self._fields)


def weather_task(section: WeatherSection) -> WeatherTask:
    """The task that an operator has set; raises ConfigurationError for what it cannot run without."""
    settings = WeatherSettings(
        spec=run_spec_of(section.run_spec_file),
        sources=SourceSet(
            truth=section.required_truth(),
            reference=section.source("reference"),
            climatology=section.source("climatology"),
        ),
        commit_window=timedelta(seconds=section.commit_window_s),
        reveal_window=timedelta(seconds=section.reveal_window_s),
    )
    return WeatherTask(settings)
