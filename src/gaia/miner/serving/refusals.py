"""The refusals of the miner, and the HTTP status of each.

A refusal is an answer, not a fault of the miner. A stranger reads its message, so it contains only what the stranger
sent or may know.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gaia.contracts.errors import GaiaError, ValidatorFault
from gaia.miner.run_store import NotEnoughRoom
from gaia.miner.serving.permits import PermitsUnknown
from gaia.protocol.forecast_messages import MalformedRequest
from gaia.protocol.signing import CallerNotPermitted, SignatureRefused, TooManyRequests


class UnknownRun(ValidatorFault):
    """This miner was never asked for the run, or has deleted it."""


class NoCommitment(ValidatorFault):
    """There is no commitment yet, or there will be none. The message says which."""

    retryable = True


class TooEarly(ValidatorFault):
    """By this miner's clock the commit deadline has not passed. Until then it shows its forecast to nobody."""

    retryable = True


class NoLongerKept(ValidatorFault):
    """The time in which the run's forecast was served is over."""


class UnknownChunk(ValidatorFault):
    """The run's specification has no chunk of that name."""


class ConflictingRequest(ValidatorFault):
    """The run was already requested with other terms. A run has only one forecast."""


class UnservableRequest(ValidatorFault):
    """The request is well-formed, but this miner cannot or will not compute the forecast."""


STATUSES: Mapping[type[GaiaError], int] = MappingProxyType(
    {
        MalformedRequest: 400,
        SignatureRefused: 401,
        CallerNotPermitted: 403,
        UnknownRun: 404,
        NoCommitment: 404,
        UnknownChunk: 404,
        ConflictingRequest: 409,
        NoLongerKept: 410,
        UnservableRequest: 422,
        TooEarly: 425,
        TooManyRequests: 429,
        NotEnoughRoom: 503,
        PermitsUnknown: 503,
    }
)


def status_of(error: GaiaError) -> int:
    """The HTTP status of a refusal; 500 for any other error.

    >>> status_of(TooEarly("wait"))
    425
    """
    return next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 500)
