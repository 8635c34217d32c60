"""A simulated chain on PostgreSQL, for demonstrations, hindcasts and tests. It can also make subnets and register
hotkeys.

It has the real chain's rules for setting weights (`gaia.chain.calls`), but not its economy. The block number follows
from the database's clock, so all processes see the same block. Only this module uses the schema `simulated_chain`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import asyncpg
import msgspec

from gaia.chain.calls import (
    EndpointCall,
    WeightsCall,
    check_signed,
    check_weights,
    max_upscaled,
    signing_bytes,
)
from gaia.contracts.errors import ConfigurationError, ValidatorFault
from gaia.contracts.ids import Hotkey
from gaia.contracts.job import Connection
from gaia.contracts.ports import ChainRefused, Neuron, Signer, SubnetParameters, WeightRow

SMALL_SUBNET = SubnetParameters(
    tempo_blocks=360,
    weights_rate_limit_blocks=100,
    min_allowed_weights=1,
    max_weights_limit=1.0,
    weights_version=1,
    min_stake_tao=1_000.0,
)
"""The parameters of a private subnet: the real chain's usual tempo and rate limit, and at least one weight."""

_TIMEOUT_S = 10.0
_LOST = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""The errors of asyncpg when the database is gone. It raises the last one if it has read only half of the database's
final message."""

_BLOCK = """
SELECT 1 + floor(extract(epoch FROM clock_timestamp() - genesis) / block_time_s)::bigint
FROM simulated_chain.subnet ORDER BY genesis, netuid LIMIT 1
"""
"""Genesis is block 1, because 0 means "never" in last_update_block, as on the real chain."""
_PARAMETERS = """
SELECT tempo_blocks, weights_rate_limit_blocks, min_allowed_weights, max_weights_limit, weights_version,
       min_stake_tao
FROM simulated_chain.subnet WHERE netuid = $1
"""
_NEURONS = """
SELECT uid, hotkey, stake_tao, validator_permit, endpoint, registered_block, last_update_block
FROM simulated_chain.neuron WHERE netuid = $1 ORDER BY uid
"""
_LOCK_SUBNET = "SELECT netuid FROM simulated_chain.subnet WHERE netuid = $1 FOR UPDATE"
_SET_ENDPOINT = """
UPDATE simulated_chain.neuron SET endpoint = $3 WHERE netuid = $1 AND hotkey = $2 RETURNING uid
"""
_SET_WEIGHTS = """
UPDATE simulated_chain.neuron SET weights = $3::jsonb, last_update_block = $4
WHERE netuid = $1 AND hotkey = $2
"""
_GET_WEIGHTS = """
SELECT weights, last_update_block FROM simulated_chain.neuron
WHERE netuid = $1 AND hotkey = $2 AND weights IS NOT NULL
"""
_CLOCK = "SELECT genesis, block_time_s FROM simulated_chain.subnet ORDER BY genesis, netuid LIMIT 1"
_LOCK_SUBNETS = "LOCK TABLE simulated_chain.subnet IN SHARE ROW EXCLUSIVE MODE"
_CREATE_SUBNET = """
INSERT INTO simulated_chain.subnet
  (netuid, block_time_s, tempo_blocks, weights_rate_limit_blocks, min_allowed_weights, max_weights_limit,
   weights_version, min_stake_tao, genesis)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, coalesce($9, clock_timestamp()))
ON CONFLICT (netuid) DO NOTHING RETURNING netuid
"""
_REGISTER = """
INSERT INTO simulated_chain.neuron (netuid, uid, hotkey, stake_tao, validator_permit, registered_block)
SELECT $1, min(free), $2, $3, $4, $5
FROM generate_series(0, (SELECT count(*) FROM simulated_chain.neuron WHERE netuid = $1)) AS free
WHERE NOT EXISTS (SELECT FROM simulated_chain.neuron WHERE netuid = $1 AND uid = free)
RETURNING uid
"""
_DEREGISTER = "DELETE FROM simulated_chain.neuron WHERE netuid = $1 AND hotkey = $2 RETURNING uid"


class ChainUnavailable(ValidatorFault):
    """The simulated chain's database did not answer."""

    retryable = True


class SubnetError(ConfigurationError):
    """A subnet cannot be made as wanted."""


class SimulatedChain:
    """`gaia.contracts.ports.ChainPort`. Build with `connect`, end with `close`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @staticmethod
    async def connect(dsn: str) -> SimulatedChain:
        """A chain in the database at `dsn`, whose migrations have run. Raises ChainUnavailable."""
        try:
            pool = await asyncpg.create_pool(
                dsn, min_size=1, max_size=4, timeout=_TIMEOUT_S, command_timeout=_TIMEOUT_S
            )
        except _LOST as error:
            raise ChainUnavailable(f"the simulated chain's database cannot be reached: {error}") from error
        return SimulatedChain(pool)

    async def close(self) -> None:
        """Close the connections, and after a while also those that are still in use. May be called again."""
        try:
            await asyncio.wait_for(self._pool.close(), _TIMEOUT_S)
        except TimeoutError:
            self._pool.terminate()

    async def block(self) -> int:
        async with self._transaction() as conn:
            return await _block(conn)

    async def parameters(self, netuid: int) -> SubnetParameters:
        async with self._transaction() as conn:
            return await _parameters(conn, netuid)

    async def neurons(self, netuid: int) -> Sequence[Neuron]:
        async with self._transaction() as conn:
            await _parameters(conn, netuid)
            return await _neurons(conn, netuid)

    async def announce_endpoint(self, netuid: int, signer: Signer, endpoint: str) -> None:
        call = EndpointCall(netuid=netuid, hotkey=signer.hotkey, endpoint=endpoint, birth_block=await self.block())
        await self.submit(call, signer.sign(signing_bytes(call)))

    async def set_weights(self, netuid: int, signer: Signer, weights: Mapping[int, int], version_key: int) -> None:
        call = WeightsCall(
            netuid=netuid,
            hotkey=signer.hotkey,
            uids=tuple(weights.keys()),
            values=tuple(weights.values()),
            version_key=version_key,
            birth_block=await self.block(),
        )
        await self.submit(call, signer.sign(signing_bytes(call)))

    async def weights(self, netuid: int, hotkey: Hotkey) -> WeightRow | None:
        async with self._transaction() as conn:
            row = await conn.fetchrow(_GET_WEIGHTS, netuid, hotkey)
        if row is None:
            return None
        weights = msgspec.json.decode(row["weights"], type=dict[int, int])
        return WeightRow(weights=weights, last_update_block=row["last_update_block"])

    async def submit(self, call: WeightsCall | EndpointCall, signature: bytes) -> None:
        """Apply a signed call in the current block, whole or not at all. Raises ChainRefused."""
        async with self._transaction() as conn:
            if await conn.fetchval(_LOCK_SUBNET, call.netuid) is None:
                raise ChainRefused("SubnetNotExists", f"netuid {call.netuid}")
            block = await _block(conn)
            check_signed(call, signature, block=block)
            if isinstance(call, EndpointCall):
                await _take_endpoint(conn, call)
            else:
                await _take_weights(conn, call, block)

    async def create_subnet(self, netuid: int, parameters: SubnetParameters, *, block_time_s: float) -> None:
        """Make a subnet. Raises SubnetError if it exists, or if its block time differs from the chain's."""
        async with self._transaction() as conn:
            await conn.execute(_LOCK_SUBNETS)
            clock = await conn.fetchrow(_CLOCK)
            if clock is not None and clock["block_time_s"] != block_time_s:
                raise SubnetError(f"this chain's blocks take {clock['block_time_s']} s, not {block_time_s} s")
            made = await conn.fetchval(
                _CREATE_SUBNET,
                netuid,
                block_time_s,
                parameters.tempo_blocks,
                parameters.weights_rate_limit_blocks,
                parameters.min_allowed_weights,
                parameters.max_weights_limit,
                parameters.weights_version,
                parameters.min_stake_tao,
                None if clock is None else clock["genesis"],
            )
        if made is None:
            raise SubnetError(f"subnet {netuid} exists; use it, or another netuid")

    async def register(
        self, netuid: int, hotkey: Hotkey, *, stake_tao: float = 0.0, validator_permit: bool = False
    ) -> int:
        """Give a hotkey the lowest free uid. Unlike on the real chain, it may set weights at once."""
        async with self._transaction() as conn:
            if await conn.fetchval(_LOCK_SUBNET, netuid) is None:
                raise ChainRefused("SubnetNotExists", f"netuid {netuid}")
            block = await _block(conn)
            try:
                uid = await conn.fetchval(_REGISTER, netuid, hotkey, stake_tao, validator_permit, block)
            except asyncpg.UniqueViolationError:
                raise ChainRefused("HotKeyAlreadyRegisteredInSubNet", hotkey) from None
        return int(uid)

    async def deregister(self, netuid: int, hotkey: Hotkey) -> None:
        """Free a hotkey's uid. Its own weights are deleted; the weights that others set on the uid stay.

        The real chain does the same.
        """
        async with self._transaction() as conn:
            if await conn.fetchval(_DEREGISTER, netuid, hotkey) is None:
                raise ChainRefused("HotKeyNotRegisteredInSubNet", hotkey)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        try:
            async with self._pool.acquire(timeout=_TIMEOUT_S) as conn, conn.transaction():
                yield conn
        except _LOST as error:
            raise ChainUnavailable(f"the simulated chain's database did not answer: {error!r}") from error


async def _block(conn: Connection) -> int:
    block = await conn.fetchval(_BLOCK)
    if block is None:
        raise ChainRefused("SubnetNotExists", "the chain has no subnet yet")
    return int(block)


async def _parameters(conn: Connection, netuid: int) -> SubnetParameters:
    row = await conn.fetchrow(_PARAMETERS, netuid)
    if row is None:
        raise ChainRefused("SubnetNotExists", f"netuid {netuid}")
    return SubnetParameters(**dict(row))


async def _neurons(conn: Connection, netuid: int) -> list[Neuron]:
    return [Neuron(**dict(row)) for row in await conn.fetch(_NEURONS, netuid)]


async def _take_endpoint(conn: Connection, call: EndpointCall) -> None:
    if await conn.fetchval(_SET_ENDPOINT, call.netuid, call.hotkey, call.endpoint) is None:
        raise ChainRefused("HotKeyNotRegisteredInNetwork", call.hotkey)


async def _take_weights(conn: Connection, call: WeightsCall, block: int) -> None:
    neurons = await _neurons(conn, call.netuid)
    check_weights(
        call,
        caller=next((neuron for neuron in neurons if neuron.hotkey == call.hotkey), None),
        registered_uids={neuron.uid for neuron in neurons},
        parameters=await _parameters(conn, call.netuid),
        block=block,
    )
    stored = dict(zip(call.uids, max_upscaled(call.values), strict=True))
    await conn.execute(_SET_WEIGHTS, call.netuid, call.hotkey, msgspec.json.encode(stored).decode(), block)
