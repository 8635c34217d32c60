"""The miner's runs on disk: requests, commitments and forecasts. They survive a crash at any instant.

    <data>/lock
    <data>/runs/<run_id>/request.json       written before the acknowledgement is sent
    <data>/runs/<run_id>/forecast/          the Zarr store, renamed into place whole
    <data>/runs/<run_id>/commitment.json    written last; after it the forecast never changes
    <data>/runs/<run_id>/attempt-*/         work in progress; deleted at the next start

Owns those files. It decides nothing about time, callers or signatures. A run is looked up by its name in memory, never
by a path that a caller sent.
"""

from __future__ import annotations

import fcntl
import secrets
import shutil
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import TextIO

import msgspec
from msgspec import Struct

from gaia.contracts.decoding import UNDECODABLE
from gaia.contracts.errors import ConfigurationError, ValidatorFault
from gaia.contracts.ids import RunId
from gaia.miner.forecasting.forecast_job import STORE_NAME, write_atomically
from gaia.protocol.forecast_messages import ForecastRequest

_REQUEST_NAME = "request.json"
_COMMITMENT_NAME = "commitment.json"
_FORECAST_NAME = "forecast"
_ATTEMPT_PREFIX = "attempt-"


class NotEnoughRoom(ValidatorFault):
    """The miner already keeps as many runs as its settings allow."""

    retryable = True


class AcceptedRun(Struct, frozen=True, kw_only=True):
    """A request that was acknowledged."""

    request: ForecastRequest
    accepted_at: datetime


class CommittedForecast(Struct, frozen=True, kw_only=True):
    """A commitment, and the manifest and nonce that open it."""

    digest: str
    """The commitment, in hexadecimal."""
    nonce: str
    manifest: bytes
    """Canonical bytes."""
    committed_at: datetime


class StoredRun:
    """One run, as the server sees it."""

    def __init__(self, folder: Path, accepted: AcceptedRun, committed: CommittedForecast | None) -> None:
        self._folder = folder
        self.accepted = accepted
        self.committed = committed
        self.failure: str | None = None
        """Why there is no forecast. A restart forgets it and tries again."""
        self.chunk_keys = {key: key for key, _, _ in accepted.request.spec.chunks()}
        """Chunk key -> the same text from our own specification. A caller's text never becomes a path."""

    @property
    def run_id(self) -> RunId:
        return self.accepted.request.run_id

    @property
    def forecast(self) -> Path:
        """The Zarr store of the committed forecast."""
        return self._folder / _FORECAST_NAME

    def new_attempt(self) -> Path:
        """The path of a new folder for an attempt."""
        return self._folder / f"{_ATTEMPT_PREFIX}{secrets.token_hex(4)}"

    def publish(self, attempt: Path, committed: CommittedForecast) -> None:
        """Make the store of an attempt the committed forecast, for good."""
        shutil.rmtree(self.forecast, ignore_errors=True)  # left by a process that died before it committed
        (attempt / STORE_NAME).rename(self.forecast)
        write_atomically(self._folder / _COMMITMENT_NAME, msgspec.json.encode(committed))
        self.committed = committed

    def discard(self, attempt: Path) -> None:
        """Remove an attempt and its decoded inputs."""
        shutil.rmtree(attempt, ignore_errors=True)


class RunStore:
    """All runs of one miner. Only one process may use a data folder."""

    def __init__(self, data_dir: Path, max_runs: int) -> None:
        self._runs_dir = data_dir / "runs"
        self._max_runs = max_runs
        try:
            self._runs_dir.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(data_dir / "lock")
            self._runs = {run.run_id: run for run in map(self._load, self._folders()) if run is not None}
        except OSError as error:
            raise ConfigurationError(
                f"cannot use the data folder {data_dir}: {error.strerror or error}; choose another"
            ) from error

    def close(self) -> None:
        """Release the folder for another process."""
        self._lock.close()

    def get(self, run_id: str) -> StoredRun | None:
        """The run with that id; None if there is none."""
        return self._runs.get(RunId(run_id))

    def all(self) -> Collection[StoredRun]:
        """Every run that is kept."""
        return list(self._runs.values())

    def accept(self, accepted: AcceptedRun) -> StoredRun:
        """Store a new request durably. Raises NotEnoughRoom."""
        if len(self._runs) >= self._max_runs:
            raise NotEnoughRoom(f"this miner already keeps {self._max_runs} runs, its limit; try later")
        folder = self._runs_dir / accepted.request.run_id
        folder.mkdir(exist_ok=True)
        write_atomically(folder / _REQUEST_NAME, msgspec.json.encode(accepted))
        run = StoredRun(folder, accepted, None)
        self._runs[run.run_id] = run
        return run

    def forget(self, run: StoredRun) -> None:
        """Delete a run and its forecast. The request is deleted first, so that a crash leaves no half run."""
        self._runs.pop(run.run_id, None)
        folder = self._runs_dir / run.run_id
        (folder / _REQUEST_NAME).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        return sorted(path for path in self._runs_dir.iterdir() if path.is_dir())

    def _load(self, folder: Path) -> StoredRun | None:
        for debris in folder.glob(f"{_ATTEMPT_PREFIX}*"):
            shutil.rmtree(debris, ignore_errors=True)
        if not (folder / _REQUEST_NAME).exists():
            shutil.rmtree(folder, ignore_errors=True)
            return None
        try:
            accepted = msgspec.json.decode((folder / _REQUEST_NAME).read_bytes(), type=AcceptedRun)
            committed = None
            if (folder / _COMMITMENT_NAME).exists():
                committed = msgspec.json.decode((folder / _COMMITMENT_NAME).read_bytes(), type=CommittedForecast)
        except (*UNDECODABLE, ValidatorFault) as error:
            raise ConfigurationError(
                f"{folder} is damaged ({error}); move it away to start without that run"
            ) from error
        return StoredRun(folder, accepted, committed)


def _lock(path: Path) -> TextIO:
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise ConfigurationError(
            f"another miner uses the data folder {path.parent}; stop it or choose another with --data-dir"
        ) from None
    return file
