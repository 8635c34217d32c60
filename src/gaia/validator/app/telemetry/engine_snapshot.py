"""The snapshot that the IO-Engine sends to the supervisor each second, as plain data on an inherited channel.

The supervisor keeps the last one and renders it as metrics. A snapshot that cannot be sent at once is dropped, so that
a slow supervisor does not slow the engine.
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
    """The time, on the clock that all processes of a machine share."""
    loop_lag: HistogramSnapshot
    queue_depths: Mapping[str, int] = {}
    """Queue name (such as `compute`) -> the number of waiting units."""
    compute_durations: Mapping[str, HistogramSnapshot] = {}
    """Handler -> the times with a worker."""
    compute_waits: HistogramSnapshot | None = None
    """The times from a unit's submission to its worker."""
    running: tuple[RunningUnit, ...] = ()
    """The units that workers have now."""
    units_done: int = 0
    units_failed: int = 0
    units_timed_out: int = 0
    units_over_memory: int = 0
    workers_lost: int = 0
    workers_retired: int = 0
    workers_standing_by: int = 0
    jobs_in_progress: int = 0
    database: DatabaseStats | None = None
    """At most a minute old; None if the database does not answer."""


class Refusal(Struct, frozen=True, kw_only=True, tag="refusal"):
    """The engine's last message if it cannot start until the operator corrects something."""

    message: str


_decoder: msgspec.msgpack.Decoder[EngineSnapshot | Refusal] = msgspec.msgpack.Decoder(EngineSnapshot | Refusal)


class SnapshotSender:
    """The engine's end of the channel. `descriptor` is the value of `--status-fd`."""

    def __init__(self, descriptor: int) -> None:
        self._channel = socket.socket(fileno=descriptor)
        self._channel.setblocking(False)

    def send(self, snapshot: EngineSnapshot | Refusal) -> None:
        """Send a snapshot. Never blocks, and raises no error if the supervisor is slow or has ended."""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            self._channel.send(_encoder.encode(snapshot))

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


def decode_message(message: bytes) -> EngineSnapshot | Refusal:
    """Decode a message of the engine. Raises msgspec.MsgspecError for other data."""
    return _decoder.decode(message)
