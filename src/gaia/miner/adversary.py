"""Cheats, for the demonstration: a validator has to catch them. Only ever on the simulated chain.

On the real chain the first two would earn this hotkey nothing, as they do here. See `conduct` for the
honest way.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import assert_never

import msgspec
import structlog

from gaia.contracts.errors import ConfigurationError
from gaia.contracts.ids import Hotkey
from gaia.miner.cheat import Cheat
from gaia.miner.conduct import Compute, Conduct
from gaia.miner.forecasting.forecast_job import STORE_NAME, write_atomically
from gaia.miner.forecasting.forecaster import manifest_of
from gaia.miner.model_choice import BuiltIn, ModelChoice
from gaia.miner.run_store import CommittedForecast, StoredRun

__all__ = ["Cheat", "conduct_for"]

log = structlog.get_logger(__name__)

_SWAPPED_NAME = "swapped"
_MANIFEST_NAME = "manifest.json"
_SILENCE_S = 86_400.0


def conduct_for(cheat: Cheat | None, model: ModelChoice, hotkey: Hotkey) -> Conduct:
    """The conduct of a miner; raises ConfigurationError where there is nothing to cheat with."""
    match cheat:
        case None:
            return Conduct()
        case Cheat.SILENT:
            return Silent()
        case Cheat.SWAP | Cheat.SWAP_CHUNKS:
            better = ModelChoice(name=BuiltIn.BAROTROPIC, truncation=model.truncation)
            if model == msgspec.structs.replace(better, seed=model.seed):
                raise ConfigurationError("a swapper needs a worse model to commit to: add --initial-error 0.3")
            return Swapper(hotkey, better) if cheat is Cheat.SWAP else ChunkSwapper(hotkey, better)
        case never:
            assert_never(never)


class Silent(Conduct):
    """Never answers: a server that hangs, as opposed to one that is gone."""

    async def before_answer(self) -> None:
        await asyncio.sleep(_SILENCE_S)


class Swapper(Conduct):
    """Holds two forecasts, commits to one, and serves the other as if it had been that one.

    Both are ready before the commitment is published, so that it is certain which one is served.
    """

    def __init__(self, hotkey: Hotkey, better: ModelChoice) -> None:
        self._hotkey = hotkey
        self._better = better

    async def before_commitment(self, run: StoredRun, compute: Compute) -> None:
        folder = self._folder(run)
        await asyncio.to_thread(run.discard, folder)
        result = await compute(self._better, folder)
        if result.error is not None:
            raise ConfigurationError(f"nothing to swap in: {result.error.message}")
        write_atomically(folder / _MANIFEST_NAME, manifest_of(run.accepted.request, self._hotkey, result))
        log.warning("other_forecast_prepared", run_id=run.run_id)

    def manifest(self, run: StoredRun, committed: CommittedForecast) -> bytes:
        return (self._folder(run) / _MANIFEST_NAME).read_bytes()

    def chunk(self, run: StoredRun, key: str) -> Path:
        return self._folder(run) / STORE_NAME / key

    def _folder(self, run: StoredRun) -> Path:
        return run.forecast.with_name(_SWAPPED_NAME)


class ChunkSwapper(Swapper):
    """Shows the manifest that it committed to; only the chunks are others."""

    def manifest(self, run: StoredRun, committed: CommittedForecast) -> bytes:
        return committed.manifest
