"""The messages between the IO-Engine and a compute worker.

Each message is one tagged struct, encoded as an array, which is smaller and faster than a map. A new worker may talk to
an older engine (SIGHUP replaces the engine only if settings have changed). So a release that changes an array needs a
restart.

A worker sends `Hello` once per connection. Then it answers every `Dispatch` with one `Result`, with any number of
`Progressed` before it. With `Leaving` a worker asks to leave. With `Retire` the engine tells it to leave.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from gaia.contracts.progress import Progress
from gaia.contracts.unit import ResultUnit, UnitError, WorkUnit

__all__ = [
    "Dispatch",
    "FromEngine",
    "FromWorker",
    "Hello",
    "Leaving",
    "Prepare",
    "Progressed",
    "Result",
    "ResultUnit",
    "Retire",
    "WorkUnit",
]


class Hello(Struct, frozen=True, array_like=True, tag="hello"):
    """A worker has connected and is free. It names its slot; the kernel tells its pid and user (SO_PEERCRED)."""

    slot: int


class Dispatch(Struct, frozen=True, array_like=True, tag="dispatch"):
    """A unit for the worker. The result repeats `attempt`, so that a late result is recognised."""

    unit_id: str
    attempt: int
    handler: str
    timeout_s: float
    payload: Mapping[str, Any]


class Result(Struct, frozen=True, array_like=True, tag="result"):
    """A unit is done (`value`) or has failed (`error`). The worker is free again."""

    unit_id: str
    attempt: int
    duration_s: float
    value: Mapping[str, Any] | None
    error: UnitError | None


class Progressed(Struct, frozen=True, array_like=True, tag="progressed"):
    """The progress of the present unit."""

    unit_id: str
    attempt: int
    progress: Progress


class Leaving(Struct, frozen=True, array_like=True, tag="leaving"):
    """The worker was asked to stop. It ends when the engine answers with `Retire`."""


class Prepare(Struct, frozen=True, array_like=True, tag="prepare"):
    """Asks a spare to import these handlers in advance."""

    handlers: tuple[str, ...]


class Retire(Struct, frozen=True, array_like=True, tag="retire"):
    """Nothing more will be sent. The worker must end."""


FromWorker = Hello | Result | Progressed | Leaving
FromEngine = Dispatch | Prepare | Retire
