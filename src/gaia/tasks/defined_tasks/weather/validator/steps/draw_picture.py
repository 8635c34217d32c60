"""After a run: a picture of the best forecast beside the truth, for people."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gaia.contracts.job import Job
from gaia.contracts.unit import WorkUnit
from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.base import TaskResult
from gaia.tasks.defined_tasks.weather.files.archive import SourceRole
from gaia.tasks.defined_tasks.weather.validator.fetch_chunks import Delivery
from gaia.tasks.defined_tasks.weather.validator.handlers.verify_payloads import PicturePayload
from gaia.tasks.defined_tasks.weather.validator.records.forecasts import load_forecast
from gaia.tasks.defined_tasks.weather.validator.records.runs import MinerState, Run, load_miners, load_run
from gaia.tasks.defined_tasks.weather.validator.records.scores import load_combined
from gaia.tasks.defined_tasks.weather.validator.steps.verify_forecast import compute_on_leads
from gaia.tasks.defined_tasks.weather.validator.weather_context import WeatherContext

_FAVOURITE = FieldId("z", 500)


def picture_path(data_dir: Path, run_id: str) -> Path:
    """Where a run's picture is kept."""
    return data_dir / "runs" / run_id / "forecast.png"


async def draw_picture(job: Job, weather: WeatherContext) -> TaskResult:
    """The best miner's 500 hPa geopotential (or the first field there is) at the last scored lead up to two days."""
    core = weather.core
    async with core.database.acquire() as conn:
        run = await load_run(conn, job.payload["run_id"])
        ranked = await load_combined(conn, run.run_id)
        miners = {m.hotkey: m for m in await load_miners(conn, run.run_id) if m.state is not MinerState.FAILED}
        best = next((miners[s.hotkey] for s in ranked if s.hotkey in miners), None)
        forecast = None if best is None else await load_forecast(conn, run.run_id, best.hotkey)
    lead_h = _lead(run)
    truth = await weather.fields.path(run, SourceRole.TRUTH, lead_h, weather.world(run))
    if best is None or forecast is None or truth is None:
        async with core.queue.completing(job):
            return TaskResult(event="picture_skipped", detail={"why": "no forecast was scored"})
    destination = picture_path(core.data_dir, run.run_id)
    destination.parent.mkdir(parents=True, exist_ok=True)
    payload = PicturePayload(
        title=f"Run {run.run_id}",
        run_id=run.run_id,
        hotkey=best.hotkey,
        label=f"best miner, uid {best.uid}",
        forecast_path=forecast.store_path,
        manifest_digest=forecast.manifest_digest.hex(),
        spec=run.spec,
        lead_h=lead_h,
        field=_FAVOURITE if _FAVOURITE in run.spec.fields() else run.spec.fields()[0],
        truth_path=truth,
        climatology_path=await weather.fields.path(run, SourceRole.CLIMATOLOGY, lead_h, weather.world(run)),
        destination=str(destination),
    )
    unit = WorkUnit(handler="weather.picture", payload=msgspec.to_builtins(payload))
    await compute_on_leads(weather, Delivery(run=run, miner=best, forecast=forecast), {lead_h}, unit)
    async with core.queue.completing(job):
        pass
    return TaskResult(event="picture_drawn", detail={"path": str(destination)})


def _lead(run: Run) -> int:
    return max((lead for lead in run.spec.scored_lead_h if lead <= 48), default=run.spec.scored_lead_h[0])
