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

from gaia.validator.app.histogram import HistogramSnapshot

_encoder = msgspec.msgpack.Encoder()


class EngineSnapshot(Struct, frozen=True, kw_only=True):
    """The engine at one moment. Counts are since its start."""

    monotonic_s: float
    """When, on the clock that all processes of a machine share."""
    loop_lag: HistogramSnapshot
    queue_depths: Mapping[str, int] = {}
    """Who waits where, by the queue's name: `compute`, and whatever else the engine has."""
    compute_durations: Mapping[str, HistogramSnapshot] = {}
    """By handler."""
    units_done: int = 0
    units_failed: int = 0
    workers_lost: int = 0
    jobs_in_progress: int = 0


class SnapshotSender:
    """The engine's end. `descriptor` is what came with `--status-fd`."""

    def __init__(self, descriptor: int) -> None:
        self._channel = socket.socket(fileno=descriptor)
        self._channel.setblocking(False)

    def send(self, snapshot: EngineSnapshot) -> None:
        """Never blocks, never raises for a supervisor that is slow or gone."""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            self._channel.send(_encoder.encode(snapshot))

    def close(self) -> None:
        """Let go of the channel."""
        self._channel.close()


def decode_snapshot(message: bytes) -> EngineSnapshot:
    """Raises msgspec.DecodeError for anything else."""
    return msgspec.msgpack.decode(message, type=EngineSnapshot)
