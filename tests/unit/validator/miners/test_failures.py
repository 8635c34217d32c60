"""Whose fault a failed exchange is."""

from __future__ import annotations

import errno
import socket

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from gaia.contracts.errors import Fault
from gaia.contracts.ports import RefusedByMiner
from gaia.protocol.messages import MalformedAnswer
from gaia.validator.miners.failures import (
    ConnectionBroken,
    MinerTimedOut,
    MinerUnreachable,
    NoNetwork,
    OutOfLocalResources,
    failure_of,
)

KEY = ConnectionKey("miner", 80, False, True, None, None, None)


def not_connected(code: int) -> aiohttp.ClientConnectorError:
    return aiohttp.ClientConnectorError(KEY, OSError(code, "reason"))


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.EADDRNOTAVAIL])
def test_our_own_limits_are_ours(code: int) -> None:
    failure = failure_of(not_connected(code), others_reachable=True)
    assert isinstance(failure, OutOfLocalResources)
    assert failure.fault is Fault.VALIDATOR


@pytest.mark.parametrize("code", [errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH, socket.EAI_AGAIN])
def test_no_route_is_ours_until_another_miner_answers(code: int) -> None:
    assert isinstance(failure_of(not_connected(code), others_reachable=False), NoNetwork)
    assert isinstance(failure_of(not_connected(code), others_reachable=True), MinerUnreachable)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (not_connected(errno.ECONNREFUSED), MinerUnreachable),
        (aiohttp.ConnectionTimeoutError(), MinerUnreachable),
        (TimeoutError(), MinerTimedOut),
        (aiohttp.ServerDisconnectedError(), ConnectionBroken),
        (aiohttp.ClientPayloadError("cut"), ConnectionBroken),
        (OSError(errno.ECONNRESET, "reset"), ConnectionBroken),
    ],
)
def test_what_the_miner_controls_is_its_fault(error: Exception, failure: type[Exception]) -> None:
    for others_reachable in (True, False):
        found = failure_of(error, others_reachable=others_reachable)
        assert isinstance(found, failure)
        assert found.fault is Fault.MINER


def test_a_server_that_speaks_no_http_is_malformed() -> None:
    from multidict import CIMultiDict, CIMultiDictProxy
    from yarl import URL

    info = aiohttp.RequestInfo(URL("http://miner"), "GET", CIMultiDictProxy(CIMultiDict()), URL("http://miner"))
    error = aiohttp.ClientResponseError(info, (), status=400, message="bad\x00line")
    failure = failure_of(error, others_reachable=True)
    assert isinstance(failure, MalformedAnswer)
    assert "bad?line" in str(failure)


@pytest.mark.parametrize(
    ("status", "again"), [(400, False), (401, False), (403, False), (408, True), (425, True), (429, True), (502, True)]
)
def test_a_refusal_for_now_is_worth_another_try(status: int, again: bool) -> None:
    assert RefusedByMiner(status, "").retryable is again
