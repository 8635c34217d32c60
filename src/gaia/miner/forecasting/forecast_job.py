"""What the server asks of the process that computes a forecast, and what comes back: data in two files of
one folder.

The folder belongs to one attempt. The server writes `job.json`; the child writes the store and
`result.json`, in this order, so that a result always speaks of a whole store. Must import no numerics: the
server reads it.
"""

from __future__ import annotations

import os
import secrets
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from gaia.contracts.unit import UnitError
from gaia.miner.model_choice import ModelChoice
from gaia.protocol.manifest import ChunkDigest
from gaia.protocol.run_spec import RunSpec

JOB_NAME = "job.json"
RESULT_NAME = "result.json"
STORE_NAME = "store"
INPUTS_NAME = "inputs"


class ForecastJob(Struct, frozen=True, kw_only=True):
    """One forecast to compute."""

    model: ModelChoice
    analysis: str
    """Where the initial state comes from, such as `grib:/data/analysis.grib`."""
    climatology: str | None
    spec: RunSpec
    init_time: datetime


class ForecastResult(Struct, frozen=True, kw_only=True):
    """What came of it: digests by chunk key, or an error."""

    chunks: dict[str, ChunkDigest] = {}
    error: UnitError | None = None
    duration_s: float = 0.0
    peak_rss_bytes: int = 0


def write_atomically(path: Path, content: bytes) -> None:
    """Publish a small file whole or not at all, durable when this returns."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
