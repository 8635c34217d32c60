"""The simulated chain's own side: subnets, registration, blocks, and what happens when its database is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from gaia.chain.calls import EndpointCall, WeightsCall, signing_bytes
from gaia.chain.simulated import ChainUnavailable, SimulatedChain, SubnetError
from gaia.contracts.ids import Hotkey
from gaia.contracts.ports import ChainRefused
from gaia.protocol.keys import HotkeySigner
from tests.contract.chain_suite import NETUID, PARAMETERS
from tests.support.postgres_relay import relayed

pytestmark = pytest.mark.database


@pytest.fixture
async def chain(database_dsn: str) -> AsyncIterator[SimulatedChain]:
    chain = await SimulatedChain.connect(database_dsn)
    yield chain
    await chain.close()


async def test_a_chain_without_a_subnet_says_so(chain: SimulatedChain) -> None:
    with pytest.raises(ChainRefused, match="SubnetNotExists"):
        await chain.block()
    with pytest.raises(ChainRefused, match="SubnetNotExists"):
        await chain.register(NETUID, Hotkey("5a"))


async def test_blocks_pass_and_weights_may_be_set_again_after_the_rate_limit(chain: SimulatedChain) -> None:
    await chain.create_subnet(NETUID, PARAMETERS, block_time_s=0.001)
    signer = HotkeySigner.generate()
    await chain.register(NETUID, signer.hotkey, stake_tao=2000.0, validator_permit=True)
    await chain.register(NETUID, Hotkey("5other"))
    await chain.set_weights(NETUID, signer, {0: 1, 1: 1}, 4000)
    first = await chain.weights(NETUID, signer.hotkey)
    assert first is not None
    async with asyncio.timeout(60):
        while await chain.block() < first.last_update_block + PARAMETERS.weights_rate_limit_blocks:
            pass
    await chain.set_weights(NETUID, signer, {0: 1, 1: 2}, 4000)
    second = await chain.weights(NETUID, signer.hotkey)
    assert second is not None
    assert second.last_update_block >= first.last_update_block + PARAMETERS.weights_rate_limit_blocks
    assert dict(second.weights) == {0: 32768, 1: 65535}


async def test_all_connections_see_the_same_chain(chain: SimulatedChain, database_dsn: str) -> None:
    await chain.create_subnet(NETUID, PARAMETERS, block_time_s=3600.0)
    uid = await chain.register(NETUID, Hotkey("5a"))
    other = await SimulatedChain.connect(database_dsn)
    try:
        assert [neuron.uid for neuron in await other.neurons(NETUID)] == [uid]
        assert await other.block() == await chain.block()
    finally:
        await other.close()


async def test_a_subnet_is_made_once(chain: SimulatedChain) -> None:
    await chain.create_subnet(NETUID, PARAMETERS, block_time_s=12.0)
    with pytest.raises(SubnetError, match="exists"):
        await chain.create_subnet(NETUID, PARAMETERS, block_time_s=12.0)


async def test_subnets_of_one_chain_share_its_clock(chain: SimulatedChain) -> None:
    await chain.create_subnet(1, PARAMETERS, block_time_s=3600.0)
    await chain.create_subnet(2, PARAMETERS, block_time_s=3600.0)
    assert await chain.block() == 1
    with pytest.raises(SubnetError, match="3600"):
        await chain.create_subnet(3, PARAMETERS, block_time_s=12.0)


async def test_a_hotkey_registers_once_and_gets_the_lowest_free_uid(chain: SimulatedChain) -> None:
    await chain.create_subnet(NETUID, PARAMETERS, block_time_s=3600.0)
    assert [await chain.register(NETUID, Hotkey(f"5{name}")) for name in "abc"] == [0, 1, 2]
    with pytest.raises(ChainRefused, match="HotKeyAlreadyRegisteredInSubNet"):
        await chain.register(NETUID, Hotkey("5a"))
    await chain.deregister(NETUID, Hotkey("5b"))
    assert await chain.register(NETUID, Hotkey("5d")) == 1
    assert [neuron.hotkey for neuron in await chain.neurons(NETUID)] == ["5a", "5d", "5c"]


async def test_registrations_at_the_same_time_get_different_uids(chain: SimulatedChain) -> None:
    await chain.create_subnet(NETUID, PARAMETERS, block_time_s=3600.0)
    uids = await asyncio.gather(*(chain.register(NETUID, Hotkey(f"5{n}")) for n in range(12)))
    assert sorted(uids) == list(range(12))


async def test_a_stranger_cannot_be_deregistered(chain: SimulatedChain) -> None:
    await chain.create_subnet(NETUID, PARAMETERS, block_time_s=3600.0)
    with pytest.raises(ChainRefused, match="HotKeyNotRegisteredInSubNet"):
        await chain.deregister(NETUID, Hotkey("5a"))


async def test_a_forged_call_changes_nothing(chain: SimulatedChain) -> None:
    await chain.create_subnet(NETUID, PARAMETERS, block_time_s=3600.0)
    owner, forger = HotkeySigner.generate(), HotkeySigner.generate()
    await chain.register(NETUID, owner.hotkey, stake_tao=2000.0, validator_permit=True)
    await chain.register(NETUID, Hotkey("5other"))
    weights = WeightsCall(
        netuid=NETUID, hotkey=owner.hotkey, uids=(0, 1), values=(1, 1), version_key=4000, birth_block=1
    )
    endpoint = EndpointCall(netuid=NETUID, hotkey=owner.hotkey, endpoint="http://evil:1", birth_block=1)
    for call in (weights, endpoint):
        with pytest.raises(ChainRefused, match="BadProof"):
            await chain.submit(call, forger.sign(signing_bytes(call)))
    assert await chain.weights(NETUID, owner.hotkey) is None
    assert (await chain.neurons(NETUID))[0].endpoint is None


@pytest.mark.parametrize("dsn", ["nowhere", "postgresql://gaia@127.0.0.1:1/gaia"])
async def test_a_database_that_is_not_there_is_named(dsn: str) -> None:
    with pytest.raises(ChainUnavailable, match="cannot be reached") as refusal:
        await SimulatedChain.connect(dsn)
    assert refusal.value.retryable


async def test_a_chain_survives_the_loss_of_its_connections(chain: SimulatedChain, database_dsn: str) -> None:
    await chain.create_subnet(NETUID, PARAMETERS, block_time_s=3600.0)
    admin = await asyncpg.connect(database_dsn)
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await admin.close()
    try:
        await chain.block()
    except ChainUnavailable as lost:
        assert lost.retryable
    assert await chain.block() == 1


async def test_a_chain_asked_between_its_servers_farewell_and_the_end_of_the_stream(database_dsn: str) -> None:
    async with relayed(database_dsn) as relay:
        chain = await SimulatedChain.connect(relay.dsn)
        await chain.create_subnet(NETUID, PARAMETERS, block_time_s=3600.0)
        relay.say_farewell()
        await asyncio.sleep(0.1)  # until it is read
        with pytest.raises(ChainUnavailable):
            await chain.block()
        assert await chain.block() == 1
        await chain.close()
