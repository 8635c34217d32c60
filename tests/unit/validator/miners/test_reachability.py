"""Whose silence it is, when the way to a miner fails: asked of real servers on loopback."""

from __future__ import annotations

import errno
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp.abc import ResolveResult

from gaia.contracts.ids import Hotkey
from gaia.contracts.ports import MinerAddress
from gaia.protocol.keys import HotkeySigner
from gaia.validator.miners.communicator import MinerCommunicator
from gaia.validator.miners.endpoints import GuardedResolver
from gaia.validator.miners.failures import MinerUnreachable, NoNetwork
from tests.support.clock import ManualClock
from tests.unit.validator.miners.miner_servers import ask, honest_miner

AWAY = MinerAddress(hotkey=Hotkey("5away"), endpoint="http://no-route.test:8091")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def client(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MinerCommunicator]:
    resolve = GuardedResolver.resolve

    async def resolve_or_not(
        self: GuardedResolver, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host == "no-route.test":
            raise OSError(errno.EHOSTUNREACH, "no route to host")  # as the miner's own router may say
        return await resolve(self, host, port, family)

    monkeypatch.setattr(GuardedResolver, "resolve", resolve_or_not)
    client = MinerCommunicator(HotkeySigner.generate(), clock, allow_private_endpoints=True)
    yield client
    await client.close()


async def test_without_anybody_to_ask_it_may_be_our_network(client: MinerCommunicator) -> None:
    with pytest.raises(NoNetwork):
        await ask(client, AWAY)


async def test_a_miner_that_cannot_be_reached_hours_after_the_last_answer_is_asked_about_at_another(
    client: MinerCommunicator, clock: ManualClock
) -> None:
    async with honest_miner(clock) as other:
        await ask(client, other.address)
        await clock.advance(7200.0)
        with pytest.raises(MinerUnreachable):
            await ask(client, AWAY)


async def test_a_refusal_shows_a_route_too(client: MinerCommunicator, clock: ManualClock) -> None:
    async with honest_miner(clock) as other:
        await ask(client, other.address)
    await clock.advance(7200.0)  # its server is gone, its machine is not
    with pytest.raises(MinerUnreachable):
        await ask(client, AWAY)


async def test_what_the_miner_itself_once_answered_says_nothing_of_our_network(
    client: MinerCommunicator, clock: ManualClock
) -> None:
    async with honest_miner(clock) as miner:
        await ask(client, miner.address)
        gone = MinerAddress(hotkey=miner.address.hotkey, endpoint=AWAY.endpoint)
        with pytest.raises(NoNetwork):
            await ask(client, gone)
