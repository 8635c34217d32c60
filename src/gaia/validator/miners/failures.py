"""What can go wrong between the validator and a miner, and whose fault it is.

Only what the miner controls may be its fault. A failure of our machine or our network is ours, and delays the
miner's score instead of lowering it.
"""

from __future__ import annotations

import errno
import socket

import aiohttp

from gaia.contracts.errors import GaiaError, MinerFault, ValidatorFault
from gaia.protocol.messages import MalformedAnswer, printable

_RETRYABLE_STATUS = frozenset((408, 425, 429))
_OUT_OF_RESOURCES = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, socket.EAI_MEMORY)
)
_NO_ROUTE = frozenset((errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH, socket.EAI_AGAIN))


class EndpointRefused(MinerFault):
    """The endpoint that the miner announced is not one that a validator may call."""


class MinerUnreachable(MinerFault):
    """No connection to the miner's server."""

    retryable = True


class MinerTimedOut(MinerFault):
    """The miner did not answer, or not fully, in time."""

    retryable = True


class ConnectionBroken(MinerFault):
    """The miner closed the connection before its answer was complete."""

    retryable = True


class AnswerTooLarge(MinerFault):
    """The miner's answer is longer than any good one."""


class AnswerNotSigned(MinerFault):
    """The answer is not signed by the miner's hotkey for this request."""

    retryable = True  # whoever stands between the two may be gone next time


class WrongChunkSize(MinerFault):
    """A chunk has not the size that its manifest states."""


class RefusedByMiner(MinerFault):
    """The miner answered with an error, quoted."""

    def __init__(self, status: int, quote: str) -> None:
        super().__init__(f"the miner answered HTTP {status}" + (f": {quote}" if quote else ""))
        self.status = status
        self.retryable = status in _RETRYABLE_STATUS or status >= 500


class NoNetwork(ValidatorFault):
    """The validator has no route to anybody."""

    retryable = True


class OutOfLocalResources(ValidatorFault):
    """The validator ran out of descriptors, ports or memory."""

    retryable = True


class ChunkNotStored(ValidatorFault):
    """A chunk cannot be written to the validator's disk."""

    retryable = True


def failure_of(error: Exception, *, others_reachable: bool) -> GaiaError:
    """Whose fault a failed exchange is. `others_reachable`: other miners are, so our network works.

    `error` is a TimeoutError, an OSError or an aiohttp.ClientError.
    """
    code = _errno_of(error)
    if code in _OUT_OF_RESOURCES:
        return OutOfLocalResources(f"no connection can be opened from here: {error}")
    if code in _NO_ROUTE and not others_reachable:
        return NoNetwork(f"no miner is reachable from here; check the network: {error}")
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        return MinerUnreachable(f"no connection to the miner: {printable(str(error))}")
    if isinstance(error, TimeoutError):
        return MinerTimedOut("the miner did not answer in time")
    if isinstance(error, aiohttp.ClientResponseError):
        return MalformedAnswer(f"the miner does not speak HTTP: {printable(error.message)}")
    return ConnectionBroken(f"the connection to the miner broke: {printable(str(error))}")


def lacks_route(error: Exception) -> bool:
    """Whether the way to the miner failed, which may be the miner's doing or ours."""
    return _errno_of(error) in _NO_ROUTE


def _errno_of(error: Exception) -> int | None:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return cause.errno if isinstance(cause, OSError) else None
