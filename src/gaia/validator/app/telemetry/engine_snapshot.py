"""What the IO-Engine tells the supervisor about itself, each second: plain data on an inherited channel.

The supervisor keeps the last one and renders it as metrics. A snapshot that cannot be sent is dropped, never
waited for: a slow supervisor must not slow the engine.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from gaia.validator.app.telemetry.histogram import HistogramSnapshot
from gaia.validator.app.telemetry.pool_statistics import RunningUnit
from gaia.validator.db.figures import DatabaseStats

_encoder = msgspec.msgpack.Encoder()


class EngineSnapshot(Struct, frozen=True, kw_only=True, tag="snapshot"):
    """The engine at one moment. Counts are since its start."""

    monotonic_s: float
    """When, on the clock that all processes of a machine share."""
    loop_lag: HistogramSnapshot
    queue_depths: Mapping[str, int] = {}
    """Who waits where, by the queue's name: `compute`, and whatever else the engine has."""
    compute_durations: Mapping[str, HistogramSnapshot] = {}
    """By handler."""
    compute_waits: HistogramSnapshot | None = None
    """From a unit's submission to its worker."""
    running: tuple[RunningUnit, ...] = ()
    """What the workers have in hand."""
    units_done: int = 0
    units_failed: int = 0
    units_timed_out: int = 0
    units_over_memory: int = 0
    workers_lost: int = 0
    workers_retired: int = 0
    workers_standing_by: int = 0
    jobs_in_progress: int = 0
    database: DatabaseStats | None = None
    """At most a minute old; None if it cannot be asked."""


class Refusal(Struct, frozen=True, kw_only=True, tag="refusal"):
    """The engine cannot start until the operator mends something. Its last word."""

    message: str


_decoder: msgspec.msgpack.Decoder[EngineSnapshot | Refusal] = msgspec.msgpack.Decoder(EngineSnapshot | Refusal)


class SnapshotSender:
    """The engine's end. `descriptor` is what came with `--status-fd`."""

    def __init__(self, descriptor: int) -> None:
        self._channel = socket.socket(fileno=descriptor)
        self._channel.setblocking(False)

    def send(self, snapshot: EngineSnapshot | Refusal) -> None:
        """Never blocks, never raises for a supervisor that is slow or gone."""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            self._channel.send(_encoder.encode(snapshot))

    def close(self) -> None:
        """Let go of the channel."""
        self._channel.close()


def decode_message(message: bytes) -> EngineSnapshot | Refusal:
    """What the engine has sent. Raises msgspec.MsgspecError for anything else."""
    return _decoder.decode(message)
