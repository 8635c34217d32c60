"""Computes one forecast and writes it: the process that `forecast_process` starts. No network, no keys, no
promises.

python -m gaia.miner.forecasting.forecast_child FOLDER PARENT_PID
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import msgspec

from gaia.contracts.errors import GaiaError, SourceFault
from gaia.contracts.parent_death import die_with_parent
from gaia.contracts.unit import UnitError
from gaia.miner.forecasting.forecast_job import (
    INPUTS_NAME,
    JOB_NAME,
    RESULT_NAME,
    STORE_NAME,
    ForecastJob,
    ForecastResult,
    write_atomically,
)
from gaia.miner.model import Climatology
from gaia.miner.model_choice import build_model
from gaia.protocol.manifest import ChunkDigest
from gaia.protocol.run_spec import RunSpec
from gaia.tasks.defined_tasks.weather.files.archive import SourceRole
from gaia.tasks.defined_tasks.weather.files.errors import MissingField, StoreMissing
from gaia.tasks.defined_tasks.weather.files.store.field_store import FieldStore
from gaia.tasks.defined_tasks.weather.files.store.open_store import open_store
from gaia.tasks.defined_tasks.weather.forecast.forecast_writer import ForecastWriter
from gaia.tasks.defined_tasks.weather.supply.catalogue import SourceRef, parse_source
from gaia.tasks.defined_tasks.weather.supply.decode import decode
from gaia.tasks.defined_tasks.weather.supply.decode_payloads import DecodePayload, cache_path


class AnalysisNotThere(SourceFault):
    """The initial state is not, or not yet, in its source."""

    retryable = True


class Inputs:
    """The fields that a model starts from, decoded on demand into a folder of this attempt."""

    def __init__(self, spec: RunSpec, folder: Path) -> None:
        self._spec = spec
        self._folder = folder

    def analysis(self, source: str, init_time: datetime) -> FieldStore:
        """The initial state, with every field of the run; raises AnalysisNotThere, WrongGrid and their like."""
        try:
            return self._decoded(parse_source(source), SourceRole.ANALYSIS, init_time)
        except (MissingField, StoreMissing) as error:
            raise AnalysisNotThere(str(error)) from error

    def climatology(self, source: str) -> Climatology:
        """The climatology by valid time."""
        reference = parse_source(source)

        def at(valid_time: datetime) -> FieldStore | None:
            try:
                return self._decoded(reference, SourceRole.CLIMATOLOGY, valid_time)
            except (MissingField, StoreMissing):
                return None

        return at

    def _decoded(self, source: SourceRef, role: SourceRole, valid_time: datetime) -> FieldStore:
        place = cache_path(self._folder, source, role, valid_time=valid_time, spec_digest=self._spec.digest())
        asked = DecodePayload(source=source, role=role, valid_time=valid_time, spec=self._spec, destination=str(place))
        return open_store(decode(asked).path)


def write_forecast(job: ForecastJob, folder: Path) -> dict[str, ChunkDigest]:
    """Run the model and write its forecast to `folder`/store; the digest of each chunk by its key."""
    inputs = Inputs(job.spec, folder / INPUTS_NAME)
    model = build_model(job.model, embedded_world=parse_source(job.analysis).format == "archive")
    analysis = inputs.analysis(job.analysis, job.init_time)
    climatology = None if job.climatology is None else inputs.climatology(job.climatology)
    writer = ForecastWriter(folder / STORE_NAME, job.spec, job.init_time)
    for field, lead_h, values in model.forecast(analysis, climatology, job.spec, job.init_time):
        writer.write(field, lead_h, values)
    digests = writer.finish()
    _sync(folder / STORE_NAME)
    return digests


def _sync(store: Path) -> None:
    """Have every file of a store on the disk before anybody is promised that it is there.

    Several at a time, because filesystems commit concurrent fsyncs together.
    """
    with ThreadPoolExecutor(max_workers=8) as threads:
        for _ in threads.map(_sync_one, [store, *store.rglob("*")]):
            pass


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def attempt(folder: Path) -> ForecastResult:
    """Do the job in `folder`, and write down what came of it."""
    started = time.monotonic()
    try:
        job = msgspec.json.decode((folder / JOB_NAME).read_bytes(), type=ForecastJob)
        result = ForecastResult(chunks=write_forecast(job, folder))
    except Exception as error:  # noqa: BLE001  a process boundary: a model may raise anything
        result = ForecastResult(error=_described(error))
    result = msgspec.structs.replace(
        result,
        duration_s=time.monotonic() - started,
        peak_rss_bytes=_peak_rss_bytes(),
    )
    write_atomically(folder / RESULT_NAME, msgspec.json.encode(result))
    return result


def _described(error: Exception) -> UnitError:
    if isinstance(error, GaiaError):
        return UnitError(code=error.code, message=str(error), fault=error.fault, retryable=error.retryable)
    return UnitError(code="model_failed", message=f"{type(error).__name__}: {error}", traceback=traceback.format_exc())


def _peak_rss_bytes() -> int:
    """From VmHWM, not from getrusage: its ru_maxrss is inherited from the parent through exec (getrusage(2))."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def main() -> None:
    """Entry point of the process."""
    die_with_parent(int(sys.argv[2]), signal.SIGTERM)
    attempt(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
