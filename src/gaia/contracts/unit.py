"""A unit of numerical work and its result: what the IO-Engine and the compute workers say to each other.

Big arrays never travel in a unit: it names files by path. Errors come back as data, never as pickles.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct, field

from gaia.contracts.errors import Fault, GaiaError

_HERE: Final = os.urandom(12).hex()
_unit_ids: Final = map(f"{_HERE}-{{:x}}".format, itertools.count())
"""Unique among all processes and for all time: 96 random bits of this process, and a number.

Units are many and small: asking the kernel for random bits each time would cost each a system call.
"""


class WorkUnit(Struct, frozen=True, kw_only=True):
    """One call of a registered handler.

    `payload` holds only what MessagePack can carry; each handler owns a struct that it converts to and from.
    """

    handler: str
    payload: Mapping[str, Any]
    unit_id: str = field(default_factory=_unit_ids.__next__)
    priority: int = 0
    """Higher goes first."""
    timeout_s: float = 300.0
    """From the moment a worker takes the unit; past it the worker is killed."""
    deadline_s: float | None = None
    """From the moment it is submitted, all waiting and trying again included; past it nobody wants the result. Counted
    on the monotonic clock, so that a clock that is set cannot end it."""
    max_attempts: int = 3
    """So many workers may die on this unit before it is called poison."""


class UnitError(Struct, frozen=True, kw_only=True):
    """Why a unit failed, as plain data."""

    code: str
    message: str
    fault: Fault = Fault.VALIDATOR
    retryable: bool = False
    traceback: str = ""


class ResultUnit(Struct, frozen=True, kw_only=True):
    """What came of a unit: either `value` or `error`."""

    unit_id: str
    handler: str
    value: Mapping[str, Any] | None = None
    error: UnitError | None = None
    attempt: int = 1
    duration_s: float = 0.0
    worker_slot: int = -1

    @property
    def ok(self) -> bool:
        """Whether the handler returned."""
        return self.error is None


class UnitFailed(GaiaError):
    """A unit's error as an exception, for callers who cannot go on without its value."""

    def __init__(self, error: UnitError) -> None:
        super().__init__(error.message)
        self.error = error
        self.fault = error.fault
        self.retryable = error.retryable

    @property
    def code(self) -> str:
        """The code under which the handler failed."""
        return self.error.code


def value_of(result: ResultUnit) -> Mapping[str, Any]:
    """The value of a successful unit; raises UnitFailed for any other."""
    if result.error is not None:
        raise UnitFailed(result.error)
    return result.value or {}
