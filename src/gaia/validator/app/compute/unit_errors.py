"""Why a unit can fail in the process backbone itself, and how any exception becomes plain data.

Shared by the pool and the worker. Never carries an exception object from one process to another.
"""

from __future__ import annotations

import traceback
from typing import Final

from gaia.contracts.errors import Fault, GaiaError, ValidatorFault, code_of
from gaia.contracts.unit import UnitError

_MESSAGE_CHARS: Final = 2_000
_TRACEBACK_CHARS: Final = 8_000


class UnitTimedOut(ValidatorFault):
    """A unit ran past its deadline; its worker was killed."""

    retryable = True


class DeadlinePassed(ValidatorFault):
    """A unit was not done in the time that its submitter gave it, waiting included."""

    retryable = True


class MemoryExceeded(ValidatorFault):
    """A unit took more memory than a worker may have."""


class PoisonUnit(ValidatorFault):
    """A unit has killed every worker that tried it."""


class PoolClosed(ValidatorFault):
    """The pool takes no more units because it is being stopped."""

    retryable = True


class PayloadUnserialisable(ValidatorFault):
    """A unit's payload holds something that MessagePack cannot carry."""


class HandlerUnknown(ValidatorFault):
    """A unit names a handler that is not in the fixed registry."""


class HandlerUnavailable(ValidatorFault):
    """A registered handler cannot be imported."""


class ResultUnserialisable(ValidatorFault):
    """A handler returned something that MessagePack cannot carry."""


def unit_error(error: BaseException, *, with_traceback: bool = False) -> UnitError:
    """The error as data: code, message, fault, whether a retry can help, and its traceback as text."""
    trace = "".join(traceback.format_exception(error))[-_TRACEBACK_CHARS:] if with_traceback else ""
    if isinstance(error, MemoryError):
        error = MemoryExceeded(f"the handler could not allocate memory: {error}")
    return UnitError(
        code=code_of(type(error)),
        message=str(error)[:_MESSAGE_CHARS],
        fault=error.fault if isinstance(error, GaiaError) else Fault.VALIDATOR,
        retryable=error.retryable if isinstance(error, GaiaError) else False,
        traceback=trace,
    )
