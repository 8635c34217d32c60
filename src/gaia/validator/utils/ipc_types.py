"""What the IO-Engine and a compute worker say to each other, and nothing else.

Each frame is one tagged struct. A worker says `Hello` once per connection; then every `Dispatch` is answered by one
`Result`, with any number of `Progressed` before it. `Leaving` is a worker's wish to go, `Retire` the engine's word that
nothing more will come.
"""

from __future__ import annotations

from msgspec import Struct

from gaia.contracts.progress import Progress
from gaia.contracts.unit import ResultUnit, WorkUnit

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


class Hello(Struct, frozen=True, kw_only=True, tag="hello"):
    """A worker has dialled in and is free. Who it is, the kernel says (SO_PEERCRED); where it belongs, it
    says.
    """

    slot: int


class Dispatch(Struct, frozen=True, kw_only=True, tag="dispatch"):
    """Do this unit. `attempt` comes back with the result, so that a late one of an older attempt is known."""

    unit: WorkUnit
    attempt: int


class Result(Struct, frozen=True, kw_only=True, tag="result"):
    """A unit is done or has failed; the worker is free again."""

    result: ResultUnit


class Progressed(Struct, frozen=True, kw_only=True, tag="progressed"):
    """The unit in hand has come so far."""

    unit_id: str
    attempt: int
    progress: Progress


class Leaving(Struct, frozen=True, tag="leaving"):
    """The worker was asked to stop: it takes no further unit once the engine answers with `Retire`."""


class Prepare(Struct, frozen=True, kw_only=True, tag="prepare"):
    """You stand by: import these handlers, so that your first unit need not."""

    handlers: tuple[str, ...]


class Retire(Struct, frozen=True, tag="retire"):
    """Nothing more will be sent: leave."""


FromWorker = Hello | Result | Progressed | Leaving
FromEngine = Dispatch | Prepare | Retire
