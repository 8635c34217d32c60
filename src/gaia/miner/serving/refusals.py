"""Why this miner does not give what it is asked for, and the HTTP status that says so. Refusals are
answers, not faults of the miner; their messages are read by a stranger and name nothing but what that
stranger sent or may know.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gaia.contracts.errors import GaiaError, ValidatorFault
from gaia.miner.run_store import NotEnoughRoom
from gaia.miner.serving.permits import PermitsUnknown
from gaia.protocol.messages import MalformedRequest
from gaia.protocol.signing import CallerNotPermitted, SignatureRefused, TooManyRequests


class UnknownRun(ValidatorFault):
    """This miner was never asked for the run, or has deleted it."""


class NoCommitment(ValidatorFault):
    """There is no commitment: not yet, or there will be none; the message says which."""

    retryable = True


class TooEarly(ValidatorFault):
    """The commit deadline has not passed by this miner's clock; until then a forecast is nobody's but its
    own.
    """

    retryable = True


class NoLongerKept(ValidatorFault):
    """The run's reveal is over."""


class UnknownChunk(ValidatorFault):
    """The run's specification has no chunk of that name."""


class ConflictingRequest(ValidatorFault):
    """The run was already requested with other terms, and a run has one forecast."""


class UnservableRequest(ValidatorFault):
    """The request is well-formed, and asks for what this miner cannot or will not compute."""


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
    """The HTTP status of a refusal; 500 for an error that is none.

    >>> status_of(TooEarly("wait"))
    425
    """
    return next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 500)
