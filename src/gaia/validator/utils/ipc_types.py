"""What the IO-Engine and a compute worker say to each other: the frames, and the units that they carry.

Each frame is one tagged struct, as an array: smaller and faster than a map. A new worker may face an engine older than
itself (SIGHUP replaces the engine only where settings have changed), so an array changes only with a restart.

A worker says `Hello` once per connection; then every `Dispatch` is answered by one `Result`, with any number of
`Progressed` before it. `Leaving` is a worker's wish to go, `Retire` the engine's word that nothing more will come.
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
    """A worker has dialled in and is free. Who it is, the kernel says (SO_PEERCRED); where it belongs, it
    says.
    """

    slot: int


class Dispatch(Struct, frozen=True, array_like=True, tag="dispatch"):
    """Do this: what a worker has to know of a unit. `attempt` comes back with the result: a late one is known by it."""

    unit_id: str
    attempt: int
    handler: str
    timeout_s: float
    payload: Mapping[str, Any]


class Result(Struct, frozen=True, array_like=True, tag="result"):
    """A unit is done (`value`) or has failed (`error`); the worker is free again."""

    unit_id: str
    attempt: int
    duration_s: float
    value: Mapping[str, Any] | None
    error: UnitError | None


class Progressed(Struct, frozen=True, array_like=True, tag="progressed"):
    """The unit in hand has come so far."""

    unit_id: str
    attempt: int
    progress: Progress


class Leaving(Struct, frozen=True, array_like=True, tag="leaving"):
    """The worker was asked to stop: it takes no further unit once the engine answers with `Retire`."""


class Prepare(Struct, frozen=True, array_like=True, tag="prepare"):
    """You stand by: import these handlers, so that your first unit need not."""

    handlers: tuple[str, ...]


class Retire(Struct, frozen=True, array_like=True, tag="retire"):
    """Nothing more will be sent: leave."""


FromWorker = Hello | Result | Progressed | Leaving
FromEngine = Dispatch | Prepare | Retire
