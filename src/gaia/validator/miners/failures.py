"""The errors between the validator and a miner, and whose fault each is.

A miner is blamed only for what it controls. A failure of our machine or network is our fault: it delays the miner's
score, and does not lower it.
"""

from __future__ import annotations

import errno
import socket

import aiohttp

from gaia.contracts.errors import GaiaError, MinerFault, ValidatorFault
from gaia.protocol.messages import MalformedAnswer, printable

_OUT_OF_RESOURCES = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, socket.EAI_MEMORY)
)
_NO_ROUTE = frozenset((errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH, socket.EAI_AGAIN))


class EndpointRefused(MinerFault):
    """The validator may not call the endpoint that the miner announced."""


class MinerUnreachable(MinerFault):
    """The validator cannot connect to the miner's server."""

    retryable = True


class MinerTimedOut(MinerFault):
    """The miner did not answer in time, or not completely."""

    retryable = True


class ConnectionBroken(MinerFault):
    """The miner closed the connection before its answer was complete."""

    retryable = True


class AnswerTooLarge(MinerFault):
    """The miner's answer is longer than any valid one."""


class AnswerNotSigned(MinerFault):
    """The answer is not signed by the miner's hotkey for this request."""

    retryable = True  # perhaps another machine in between has answered


class WrongChunkSize(MinerFault):
    """A chunk does not have the announced size."""


class NoNetwork(ValidatorFault):
    """The validator has no route to any miner."""

    retryable = True


class OutOfLocalResources(ValidatorFault):
    """The validator ran out of descriptors, ports or memory."""

    retryable = True


class ChunkNotStored(ValidatorFault):
    """A chunk cannot be written to the validator's disk."""

    retryable = True


def failure_of(error: Exception, *, others_reachable: bool) -> GaiaError:
    """The GaiaError of a failed exchange; its class says whose fault it is.

    `error` is a TimeoutError, an OSError or an aiohttp.ClientError. `others_reachable`: other miners can be reached, so
    our network works.
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
        return MalformedAnswer(f"the miner's answer is not valid HTTP: {printable(error.message)}")
    return ConnectionBroken(f"the connection to the miner broke: {printable(str(error))}")


def lacks_route(error: Exception) -> bool:
    """Whether there is no route to the miner. The cause may be the miner's network or ours."""
    return _errno_of(error) in _NO_ROUTE


def _errno_of(error: Exception) -> int | None:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return cause.errno if isinstance(cause, OSError) else None
