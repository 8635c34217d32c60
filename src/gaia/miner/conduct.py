"""The honest behaviour of a miner: what it does with a finished forecast, and what it serves afterwards.

The demonstration's cheats (`adversary`) override these four methods. No other part of the miner knows of cheats.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from gaia.miner.forecasting.forecast_job import ForecastResult
from gaia.miner.model_choice import ModelChoice
from gaia.miner.run_store import CommittedForecast, StoredRun

Compute = Callable[[ModelChoice, Path], Awaitable[ForecastResult]]
"""Runs a model for the run, in a given folder."""


class Conduct:
    """Answers every caller, commits to its one forecast, and serves that forecast."""

    async def before_answer(self) -> None:
        """Called before a request is read."""

    async def before_commitment(self, run: StoredRun, compute: Compute) -> None:
        """Called when the forecast is ready, before the commitment is published."""

    def manifest(self, run: StoredRun, committed: CommittedForecast) -> bytes:
        """The manifest that the reveal shows."""
        return committed.manifest

    def chunk(self, run: StoredRun, key: str) -> Path:
        """The file of a chunk. `key` is one of `run.chunk_keys`, never a text from the network."""
        return run.forecast / key
