"""A unit of numerical work and its result, as the IO-Engine and the compute workers exchange them.

Big arrays never travel in a unit; it names files by path. Errors come back as plain data, never as pickles.
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
"""Unique ids: 96 random bits of this process, and a number. New random bits for each unit would take a system call."""


class WorkUnit(Struct, frozen=True, kw_only=True):
    """One call of a registered handler.

    `payload` holds only what MessagePack can carry; each handler owns a struct that it converts to and from.
    """

    handler: str
    payload: Mapping[str, Any]
    unit_id: str = field(default_factory=_unit_ids.__next__)
    priority: int = 0
    """Units of a higher priority run first."""
    timeout_s: float = 300.0
    """Counted from the moment a worker takes the unit. After it the worker is killed."""
    deadline_s: float | None = None
    """Counted from submission, with all waiting and retries. After it the result is not wanted any more. The monotonic
    clock counts, so a change of the wall clock has no effect."""
    max_attempts: int = 3
    """When this many workers have died on the unit, it is given up as a poison unit."""


class UnitError(Struct, frozen=True, kw_only=True):
    """The reason why a unit failed, as plain data."""

    code: str
    message: str
    fault: Fault = Fault.VALIDATOR
    retryable: bool = False
    traceback: str = ""


class ResultUnit(Struct, frozen=True, kw_only=True):
    """The result of a unit: either `value` or `error`."""

    unit_id: str
    handler: str
    value: Mapping[str, Any] | None = None
    error: UnitError | None = None
    attempt: int = 1
    duration_s: float = 0.0
    worker_slot: int = -1

    @property
    def ok(self) -> bool:
        """Whether the unit succeeded."""
        return self.error is None


class UnitFailed(GaiaError):
    """A unit's error as an exception, for callers that need its value."""

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
    """The value of a successful unit.

    Raises:
        UnitFailed: The unit failed; fault and code are those of its error.
    """
    if result.error is not None:
        raise UnitFailed(result.error)
    return result.value or {}
