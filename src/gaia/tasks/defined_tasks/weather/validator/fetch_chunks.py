"""Fetches a forecast's chunks of some leads into the cache. The worker that reads them checks their content."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from gaia.contracts.errors import ValidatorFault
from gaia.protocol.manifest import Manifest
from gaia.tasks.defined_tasks.weather.validator.records.forecasts import Forecast
from gaia.tasks.defined_tasks.weather.validator.records.runs import Run, RunMiner
from gaia.tasks.defined_tasks.weather.validator.weather_context import WeatherContext, address_of

_AT_ONCE = 8
"""The number of chunks that are fetched from one miner at the same time."""

MANIFEST_NAME = "manifest.json"


class CacheUnwritable(ValidatorFault):
    """The forecast cache cannot be written."""

    retryable = True


class Delivery(Struct, frozen=True, kw_only=True):
    """A miner's forecast in one run."""

    run: Run
    miner: RunMiner
    forecast: Forecast


def chunk_keys(run: Run, leads_h: Collection[int]) -> list[str]:
    """The chunks of some leads of a run's forecasts."""
    return [key for key, _, lead_h in run.spec.chunks() if lead_h in leads_h]


async def fetch_leads(weather: WeatherContext, delivery: Delivery, leads_h: Collection[int]) -> None:
    """Fetch the missing chunks. Raises the MinerFault of the first chunk that cannot be fetched."""
    folder = Path(delivery.forecast.store_path)
    manifest = delivery.forecast.manifest
    chunks = msgspec.json.decode(manifest, type=Manifest).chunks
    wanted = {key: chunks[key].size_bytes for key in chunk_keys(delivery.run, leads_h)}
    missing = await asyncio.to_thread(_prepare, folder, manifest, wanted)
    if not missing:
        return
    address, run_id = address_of(delivery.miner), delivery.run.run_id
    room = asyncio.Semaphore(_AT_ONCE)

    async def fetch(key: str) -> None:
        async with room:
            await weather.miners.fetch_chunk(address, run_id, key, folder / key, wanted[key])

    try:
        async with asyncio.TaskGroup() as group:
            for key in missing:
                group.create_task(fetch(key))
    except ExceptionGroup as errors:  # a task group wraps even a single error
        raise errors.exceptions[0] from errors


async def forget_leads(run: Run, folder: Path, leads_h: Collection[int]) -> None:
    """Drop cached chunks, to fetch them anew: our disk may have spoilt them, and that is not the miner's fault."""
    await asyncio.to_thread(_unlink, folder, chunk_keys(run, leads_h))


def _prepare(folder: Path, manifest: bytes, wanted: Mapping[str, int]) -> list[str]:
    """Make the folders, write the manifest beside the chunks, and return the chunks that are not there yet."""
    try:
        for parent in {(folder / key).parent for key in wanted}:
            parent.mkdir(parents=True, exist_ok=True)
        _write_whole(folder / MANIFEST_NAME, manifest)
        return [key for key, size_bytes in wanted.items() if not _has_size(folder / key, size_bytes)]
    except OSError as error:
        raise CacheUnwritable(f"{folder}: {error.strerror}; free some space, or correct its permissions") from error


def _write_whole(path: Path, content: bytes) -> None:
    if _has_size(path, len(content)) and path.read_bytes() == content:
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}.draft")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _has_size(path: Path, size_bytes: int) -> bool:
    try:
        return path.stat(follow_symlinks=False).st_size == size_bytes
    except FileNotFoundError:
        return False


def _unlink(folder: Path, keys: Sequence[str]) -> None:
    for key in keys:
        (folder / key).unlink(missing_ok=True)
