"""How a miner keeps its word: what it does with a finished forecast and what it serves afterwards. The
honest way.

The demonstration's cheats (`adversary`) override these four; nothing else of the miner knows of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from gaia.miner.forecasting.forecast_job import ForecastResult
from gaia.miner.model_choice import ModelChoice
from gaia.miner.run_store import CommittedForecast, StoredRun

Compute = Callable[[ModelChoice, Path], Awaitable[ForecastResult]]
"""Runs a model for the run in question, in a folder of one's choice."""


class Conduct:
    """Answers everybody, commits to its one forecast, and serves what it committed."""

    async def before_answer(self) -> None:
        """Called before a request is looked at."""

    async def before_commitment(self, run: StoredRun, compute: Compute) -> None:
        """Called when the forecast is ready and the commitment not yet published."""

    def manifest(self, run: StoredRun, committed: CommittedForecast) -> bytes:
        """What the reveal shows."""
        return committed.manifest

    def chunk(self, run: StoredRun, key: str) -> Path:
        """The file of a chunk. `key` is one of `run.chunk_keys`, never a text from the network."""
        return run.forecast / key
