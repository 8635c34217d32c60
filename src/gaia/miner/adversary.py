"""Cheats, for the demonstration: a validator has to catch them. Only ever on the simulated chain.

On the real chain the first two would earn this hotkey nothing, as they do here. See `conduct` for the
honest way.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import assert_never

import structlog

from gaia.contracts.errors import ConfigurationError
from gaia.contracts.ids import Hotkey
from gaia.miner.conduct import Compute, Conduct
from gaia.miner.forecast_job import STORE_NAME, write_atomically
from gaia.miner.forecaster import manifest_of
from gaia.miner.model_choice import BuiltIn, ModelChoice
from gaia.miner.run_store import CommittedForecast, StoredRun

log = structlog.get_logger(__name__)

BETTER_MODEL = ModelChoice(name=BuiltIn.BAROTROPIC)
"""The forecast that a swapper would like to have committed to: no error in its initial state."""

_SWAPPED_NAME = "swapped"
_MANIFEST_NAME = "manifest.json"
_SILENCE_S = 86_400.0


class Cheat(StrEnum):
    """What the demonstration can break."""

    SWAP = "swap"  # reveals another manifest than the one committed to
    SWAP_CHUNKS = "swap-chunks"  # reveals the right manifest and serves other chunks
    SILENT = "silent"  # takes connections and requests, and never answers


def conduct_for(cheat: Cheat | None, model: ModelChoice, hotkey: Hotkey) -> Conduct:
    """The conduct of a miner; raises ConfigurationError where there is nothing to cheat with."""
    match cheat:
        case None:
            return Conduct()
        case Cheat.SILENT:
            return Silent()
        case Cheat.SWAP | Cheat.SWAP_CHUNKS:
            if model == BETTER_MODEL:
                raise ConfigurationError(
                    "a swapper needs a worse model to commit to: add --initial-error 0.3"
                )
            return Swapper(hotkey) if cheat is Cheat.SWAP else ChunkSwapper(hotkey)
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

    def __init__(self, hotkey: Hotkey) -> None:
        self._hotkey = hotkey

    async def before_commitment(self, run: StoredRun, compute: Compute) -> None:
        folder = self._folder(run)
        await asyncio.to_thread(run.discard, folder)
        result = await compute(BETTER_MODEL, folder)
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
