"""The errors of a unit that come from the compute pool itself, and the conversion of any exception to plain data.

Pool and worker share it. No exception object goes from one process to another.
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
    """A unit was not done within the time that its submitter allowed, including the wait for a worker."""

    retryable = True


class MemoryExceeded(ValidatorFault):
    """A unit used more memory than a worker may have."""


class PoisonUnit(ValidatorFault):
    """Every worker that tried a unit died."""


class PoolClosed(ValidatorFault):
    """The pool accepts no more units, because it is being stopped."""

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
