"""Computes the forecasts of accepted runs in the background, one at a time, and commits to them.

Owns the moment of commitment. Never changes a committed forecast, and never commits after the deadline.
"""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog

from gaia.contracts.clock import Clock
from gaia.contracts.ids import Hotkey
from gaia.contracts.unit import UnitError
from gaia.miner.conduct import Conduct
from gaia.miner.forecasting.forecast_job import ForecastJob, ForecastResult
from gaia.miner.forecasting.forecast_process import compute
from gaia.miner.model_choice import ModelChoice
from gaia.miner.run_store import CommittedForecast, NotEnoughRoom, StoredRun
from gaia.miner.settings import MinerSettings
from gaia.protocol.forecast_messages import ForecastRequest
from gaia.protocol.manifest import NONCE_BYTES, Manifest, canonical_bytes, commitment_digest

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 300.0
"""The pause between attempts doubles up to this. A late analysis is published within minutes or hours."""


def manifest_of(request: ForecastRequest, hotkey: Hotkey, result: ForecastResult) -> bytes:
    """The canonical manifest of a computed forecast."""
    return canonical_bytes(
        Manifest(
            run_id=request.run_id,
            hotkey=hotkey,
            init_time=request.init_time.astimezone(UTC),
            spec_digest=request.spec.digest(),
            chunks=result.chunks,
        )
    )


def promise(request: ForecastRequest, hotkey: Hotkey, manifest: bytes, now: datetime) -> CommittedForecast:
    """A commitment to `manifest`, with a new nonce from the operating system's random numbers."""
    nonce = os.urandom(NONCE_BYTES)
    digest = commitment_digest(request.run_id, hotkey, nonce, manifest)
    return CommittedForecast(digest=digest.hex(), nonce=nonce.hex(), manifest=manifest, committed_at=now)


class Forecaster:
    """Handles every run until it is committed or lost. Models run one at a time, because two could both be late."""

    def __init__(self, settings: MinerSettings, hotkey: Hotkey, conduct: Conduct, clock: Clock) -> None:
        self._settings = settings
        self._hotkey = hotkey
        self._conduct = conduct
        self._clock = clock
        self._submitted: asyncio.Queue[StoredRun] = asyncio.Queue(maxsize=settings.max_runs)
        self._computing = asyncio.Lock()

    def submit(self, run: StoredRun) -> None:
        """Queue a run for its forecast. Raises NotEnoughRoom."""
        try:
            self._submitted.put_nowait(run)
        except asyncio.QueueFull:
            raise NotEnoughRoom("too many forecasts wait to be computed; try later") from None

    async def work(self) -> None:
        """Handle submitted runs, for ever. There are never more of them than the run store keeps."""
        async with asyncio.TaskGroup() as runs:
            while True:
                runs.create_task(self._look_after(await self._submitted.get()))

    async def _look_after(self, run: StoredRun) -> None:
        try:
            await self._forecast(run)
        except Exception:  # a service loop: the other runs must not suffer
            log.exception("forecast_failed", run_id=run.run_id)
            run.failure = "the miner failed; its log says why"

    async def _forecast(self, run: StoredRun) -> None:
        """Try until the forecast is committed, or cannot be made, or the deadline has passed."""
        pause_s = FIRST_PAUSE_S
        while (left_s := self._left_s(run)) > 0:
            async with self._computing:
                result = await self._attempt(run)
            if result.error is None:
                return
            log.error(
                "forecast_attempt_failed",
                run_id=run.run_id,
                code=result.error.code,
                error=result.error.message,
            )
            run.failure = f"{result.error.code}: {result.error.message}"
            if not result.error.retryable:
                return
            await self._clock.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        run.failure = run.failure or "no forecast before the commit deadline"
        log.error("commit_deadline_missed", run_id=run.run_id, reason=run.failure)

    async def _attempt(self, run: StoredRun) -> ForecastResult:
        attempt = run.new_attempt()
        try:
            result = await self._compute(run, self._settings.model, attempt)
            if result.error is None:
                await self._conduct.before_commitment(run, partial(self._compute, run))
                result = await self._commit(run, attempt, result)
            return result
        finally:
            await asyncio.to_thread(run.discard, attempt)

    async def _commit(self, run: StoredRun, attempt: Path, result: ForecastResult) -> ForecastResult:
        if self._left_s(run) <= 0:
            return ForecastResult(error=UnitError(code="forecast_too_slow", message="ready after the commit deadline"))
        manifest = manifest_of(run.accepted.request, self._hotkey, result)
        committed = promise(run.accepted.request, self._hotkey, manifest, self._clock.now())
        await asyncio.to_thread(run.publish, attempt, committed)
        run.failure = None
        log.info(
            "forecast_committed", run_id=run.run_id, commitment=committed.digest, chunks=len(result.chunks),
            duration_s=round(result.duration_s, 3), peak_rss_mb=result.peak_rss_bytes >> 20,
        )  # fmt: skip
        return result

    async def _compute(self, run: StoredRun, model: ModelChoice, folder: Path) -> ForecastResult:
        job = ForecastJob(
            model=model,
            analysis=self._settings.analysis,
            climatology=self._settings.climatology,
            spec=run.accepted.request.spec,
            init_time=run.accepted.request.init_time,
        )
        return await compute(job, folder, max(self._left_s(run), 0.001))

    def _left_s(self, run: StoredRun) -> float:
        return (run.accepted.request.commit_deadline - self._clock.now()).total_seconds()
