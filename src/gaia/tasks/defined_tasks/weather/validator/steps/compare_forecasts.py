"""Part of step 7: has the forecasts of a run compared with each other and with the reference, once at each lead.

The gate's lead is compared before any miner is paid. A scored lead is compared when all miners are scored there,
because its chunks are then in the cache. A miner whose forecast is a copy at one lead fails the whole run. The search
of each lead is stored with its evidence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from gaia.contracts.errors import Fault, MinerFault
from gaia.contracts.ids import Hotkey
from gaia.contracts.job import Connection, Job
from gaia.contracts.unit import WorkUnit, value_of
from gaia.tasks.defined_tasks.weather.files.archive import SourceRole
from gaia.tasks.defined_tasks.weather.validator.fetch_chunks import Delivery, fetch_leads, forget_leads
from gaia.tasks.defined_tasks.weather.validator.handlers.score_payloads import (
    CloneFound,
    ClonesPayload,
    ClonesResult,
    ForecastRef,
)
from gaia.tasks.defined_tasks.weather.validator.records.clone_searches import put_clone_search, searched_leads
from gaia.tasks.defined_tasks.weather.validator.records.forecasts import load_forecast
from gaia.tasks.defined_tasks.weather.validator.records.runs import (
    MinerState,
    Run,
    RunMiner,
    fail_miner,
    load_miners,
)
from gaia.tasks.defined_tasks.weather.validator.records.scores import load_lead_scores
from gaia.tasks.defined_tasks.weather.validator.steps.run_completion import due_leads
from gaia.tasks.defined_tasks.weather.validator.weather_context import WeatherContext

CLONE_OF_REFERENCE = "clone_of_reference"
CLONE_OF_MINER = "clone_of_miner"

_COMPARE_ATTEMPTS = 9
"""For about eight minutes we ask again for chunks that are no longer in the cache. Then the run is combined without
their miners."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The results for leads that had not been searched before, and the miners that did not deliver their chunks."""

    results: Sequence[ClonesResult] = ()
    missing: Mapping[Hotkey, MinerFault] = field(default_factory=dict)


async def compare_forecasts(job: Job, weather: WeatherContext, run: Run) -> Comparison:
    """Compare the forecasts at all leads that are due and not yet searched. Without gate or reference: at none.

    If a miner with scores still to come does not deliver its chunks, this raises its MinerFault, so that the job is
    tried again. In the last attempts the miner goes into `missing` instead: otherwise a copy could escape by refusing
    its chunks.
    """
    if run.spec.gate_lead_h is None or run.sources.reference is None:
        return Comparison()
    async with weather.core.database.acquire() as conn:
        miners = await _in_order_of_commitment(conn, run)
        scored = await _scored_leads(conn, run, miners) & due_leads(run, weather)
        searched = await searched_leads(conn, run.run_id)
    results: list[ClonesResult] = []
    missing: dict[Hotkey, MinerFault] = {}
    for lead_h in sorted({run.spec.gate_lead_h, *scored} - searched):
        result, withheld = await _fetch_and_search(weather, run, miners, lead_h, attempt=job.attempt)
        if result is not None and result.unreadable:  # they were whole when verified; our disk may have damaged them
            for hotkey in result.unreadable:
                await forget_leads(run, weather.forecast_path(run.run_id, hotkey), {lead_h})
            result, withheld = await _fetch_and_search(weather, run, miners, lead_h, attempt=job.attempt)
        missing.update(withheld)
        if result is not None:
            results.append(result)
        out = {*withheld, *(found.hotkey for found in result.clones)} if result else withheld
        miners = _without(miners, out)
    return Comparison(results=results, missing=missing)


async def put_out_found(conn: Connection, run: Run, comparison: Comparison) -> None:
    """Fail the miners whose forecast copies the reference, or a forecast that was committed earlier.

    The run is locked. If two combine jobs searched the same lead at once, the first result holds. The second may have
    found other originals, and no miner may fail without stored evidence.
    """
    for hotkey, error in comparison.missing.items():
        await fail_miner(
            conn, run.run_id, hotkey, code=error.code, fault=Fault.MINER,
            reason=f"the forecast could not be compared with the others: {error}",
        )  # fmt: skip
    for result in comparison.results:
        if not await put_clone_search(conn, run.run_id, result):
            continue
        for found in result.clones:
            await fail_miner(
                conn, run.run_id, found.hotkey, fault=Fault.MINER, reason=_reason(found, result.lead_h),
                code=CLONE_OF_REFERENCE if found.original is None else CLONE_OF_MINER,
            )  # fmt: skip


def _reason(found: CloneFound, lead_h: int) -> str:
    """The reason that the miner reads: the lead, the other forecast, and the difference in each field."""
    what = "the operational reference" if found.original is None else f"that of {found.original}, committed earlier"
    fields = ", ".join(f"{name} {mse:.4g} ({found.threshold[name]:.4g})" for name, mse in found.mse.items())
    return f"at +{lead_h} h the forecast is {what}; mean squared differences (and thresholds): {fields}"


async def _in_order_of_commitment(conn: Connection, run: Run) -> Sequence[RunMiner]:
    there = (MinerState.VERIFIED, MinerState.SCORED)
    miners = [m for m in await load_miners(conn, run.run_id) if m.state in there]
    # A forecast that was put into the database by hand has no commitment; it counts as the last.
    return sorted(miners, key=lambda m: (m.committed_at or run.reveal_deadline, m.uid))


async def _scored_leads(conn: Connection, run: Run, miners: Sequence[RunMiner]) -> set[int]:
    """The leads at which every miner is scored. Other due leads must wait: their score jobs still fetch chunks."""
    scored: dict[int, set[Hotkey]] = {}
    for row in await load_lead_scores(conn, [run.run_id]):
        scored.setdefault(row.lead_h, set()).add(row.hotkey)
    return {lead_h for lead_h, hotkeys in scored.items() if hotkeys >= {miner.hotkey for miner in miners}}


def _without(miners: Sequence[RunMiner], out: Collection[Hotkey]) -> Sequence[RunMiner]:
    return [miner for miner in miners if miner.hotkey not in out]


async def _fetch_and_search(
    weather: WeatherContext, run: Run, miners: Sequence[RunMiner], lead_h: int, *, attempt: int
) -> tuple[ClonesResult | None, Mapping[Hotkey, MinerFault]]:
    """The result at one lead, and the errors of miners that did not deliver. Before the last attempts raises these."""
    at_hand, withheld = await _gather(weather, run, miners, lead_h)
    if withheld and attempt < _COMPARE_ATTEMPTS:
        raise withheld[min(withheld)]  # a miner still has to deliver; ask again, as a score job would
    return await _search(weather, run, at_hand, lead_h), withheld


async def _gather(
    weather: WeatherContext, run: Run, miners: Sequence[RunMiner], lead_h: int
) -> tuple[Sequence[ForecastRef], Mapping[Hotkey, MinerFault]]:
    """The forecasts to compare, with their chunks of the lead in the cache; and the miners that did not deliver theirs.

    The chunks were in the cache when the forecast was verified or scored, so most need no fetching. A miner that no
    longer answers, with all its leads scored, is left out.
    """
    room = asyncio.Semaphore(weather.core.miner_concurrency)
    try:
        async with asyncio.TaskGroup() as group:
            fetches = [group.create_task(_fetch(weather, run, miner, lead_h, room)) for miner in miners]
    except ExceptionGroup as errors:  # a task group wraps even a single error
        raise errors.exceptions[0] from errors
    at_hand: list[ForecastRef] = []
    missing: dict[Hotkey, MinerFault] = {}
    for miner, fetch in zip(miners, fetches, strict=True):
        found = fetch.result()
        if isinstance(found, ForecastRef):
            at_hand.append(found)
        elif miner.state is MinerState.VERIFIED:
            missing[miner.hotkey] = found
        else:
            weather.core.log.warning("forecast_not_compared", hotkey=miner.hotkey, code=found.code, lead_h=lead_h)
    return at_hand, missing


async def _fetch(
    weather: WeatherContext, run: Run, miner: RunMiner, lead_h: int, room: asyncio.Semaphore
) -> ForecastRef | MinerFault:
    async with room:
        async with weather.core.database.acquire() as conn:  # one by one: 256 manifests are 100 MB
            forecast = await load_forecast(conn, run.run_id, miner.hotkey)
        try:
            await fetch_leads(weather, Delivery(run=run, miner=miner, forecast=forecast), {lead_h})
        except MinerFault as error:
            return error
        return ForecastRef(
            hotkey=miner.hotkey, path=forecast.store_path, manifest_digest=forecast.manifest_digest.hex()
        )


async def _search(
    weather: WeatherContext, run: Run, forecasts: Sequence[ForecastRef], lead_h: int
) -> ClonesResult | None:
    """Compare the forecasts at a lead with each other and with the reference. None: there is nothing to compare."""
    if not forecasts:
        return None
    payload = ClonesPayload(
        run_id=run.run_id,
        spec=run.spec,
        policy=weather.settings.policy,
        lead_h=lead_h,
        forecasts=tuple(forecasts),
        reference_path=await weather.fields.path(run, SourceRole.REFERENCE, lead_h, weather.world(run)),
        climatology_path=await weather.fields.path(run, SourceRole.CLIMATOLOGY, lead_h, weather.world(run)),
    )
    unit = WorkUnit(
        handler="weather.clones",
        payload=msgspec.to_builtins(payload),
        timeout_s=weather.settings.unit_timeout_s,
    )
    result = msgspec.convert(value_of(await weather.core.compute(unit)), ClonesResult)
    if result.uncompared:
        weather.core.log.warning("pairs_not_compared", run_id=run.run_id, lead_h=lead_h, pairs=result.uncompared)
    for hotkey, code in result.unreadable.items():
        weather.core.log.warning("forecast_not_compared", hotkey=hotkey, code=code, lead_h=lead_h)
    return result
