"""Integrity of files and forecasts: the compute handlers `weather.hash.compute` and `weather.verify`.

They digest, decode and check; they never score, never write, and never reach outside the folder that they are
given. A bad forecast raises the MinerFault that says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from blake3 import blake3

from gaia.contracts.errors import ValidatorFault
from gaia.contracts.progress import report_progress
from gaia.tasks.defined_tasks.weather.files.confined_file import open_confined
from gaia.tasks.defined_tasks.weather.forecast.chunk_codec import ValueRange
from gaia.tasks.defined_tasks.weather.forecast.forecast_store import ForecastReader
from gaia.tasks.defined_tasks.weather.validator.handlers.verify_payloads import (
    FileDigest,
    HashPayload,
    HashResult,
    VariableRange,
    VerifyPayload,
    VerifyResult,
)
from gaia.tasks.defined_tasks.weather.variables import variable

_PIECE_BYTES: Final = 1 << 20


class WrongForecast(ValidatorFault):
    """The frozen manifest at a path belongs to another run or miner than the unit names."""


class FileUnreadable(ValidatorFault):
    """A file to be digested cannot be read."""

    retryable = True


def handle_hash_compute(payload: Mapping[str, Any]) -> dict[str, Any]:
    """HashPayload -> HashResult. Raises UnsafePath, FileUnreadable. Needs 1 MiB, however big the files."""
    request = msgspec.convert(payload, HashPayload)
    piece = memoryview(bytearray(_PIECE_BYTES))
    folder = Path(request.folder)
    digests = {name: _digest_of(folder, name, piece) for name in request.files}
    return _plain(HashResult(digests=digests))


def handle_verify(payload: Mapping[str, Any]) -> dict[str, Any]:
    """VerifyPayload -> VerifyResult. Raises what ForecastReader.open and read_chunk do, and WrongForecast."""
    request = msgspec.convert(payload, VerifyPayload)
    reader = ForecastReader.open(
        Path(request.forecast_path), spec=request.spec, manifest_digest=request.manifest_digest
    )
    if (reader.manifest.run_id, reader.manifest.hotkey) != (request.run_id, request.hotkey):
        raise WrongForecast(
            f"{request.forecast_path} holds the forecast of {reader.manifest.hotkey} for"
            f" {reader.manifest.run_id}, not of {request.hotkey} for {request.run_id}"
        )
    return _plain(_verify(reader, request.lead_h))


def _verify(reader: ForecastReader, lead_h: tuple[int, ...] | None) -> VerifyResult:
    wanted = set(reader.spec.lead_h if lead_h is None else lead_h)
    for lead in wanted:
        reader.at_lead(lead)  # refuses a lead that is not the run's, which would otherwise verify nothing
    values = np.empty(reader.spec.grid.shape, dtype=np.float32)
    ranges: dict[str, ValueRange] = {}
    chunk_count = encoded_bytes = 0
    for chunk in reader.chunks():
        if chunk.lead_h not in wanted:
            continue
        report_progress(chunk_count / (len(wanted) * len(reader.spec.fields())), f"chunk {chunk_count + 1}")
        found = reader.read_chunk(chunk, values)
        name = chunk.field.variable
        ranges[name] = found.merged(ranges[name]) if name in ranges else found
        chunk_count += 1
        encoded_bytes += reader.promised(chunk).size_bytes
    return VerifyResult(
        chunk_count=chunk_count,
        encoded_bytes=encoded_bytes,
        ranges=tuple(
            VariableRange(variable=name, unit=variable(name).unit, minimum=r.minimum, maximum=r.maximum)
            for name, r in ranges.items()
        ),
    )


def _digest_of(folder: Path, name: str, piece: memoryview) -> FileDigest:
    hasher = blake3()
    size_bytes = 0
    try:
        with open_confined(folder, name) as file:
            while count := file.readinto(piece):
                hasher.update(piece[:count])
                size_bytes += count
    except OSError as error:
        raise FileUnreadable(f"{name[:200]!r} in {folder} cannot be read: {error.strerror}") from error
    return FileDigest(size_bytes=size_bytes, blake3=hasher.hexdigest())


def _plain(result: HashResult | VerifyResult) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(result)
    return built
