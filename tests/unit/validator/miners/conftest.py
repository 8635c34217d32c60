"""A miner that answers, and clients with and without patience, for the tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gaia.contracts.clock import SystemClock
from gaia.protocol.forecast_messages import chunk_path, commitment_path
from gaia.protocol.keys import HotkeySigner
from gaia.validator.miners.communicator import ClientLimits, MinerCommunicator
from tests.unit.validator.miners.miner_servers import (
    CHUNK_KEY,
    RUN_ID,
    HonestMiner,
    honest_miner,
)

IMPATIENT = ClientLimits(connect_timeout_s=2.0, message_timeout_s=0.5, chunk_timeout_s=0.5)
COMMITMENT = commitment_path(RUN_ID)
CHUNK_PATH = chunk_path(RUN_ID, CHUNK_KEY)


@pytest.fixture
async def miner() -> AsyncIterator[HonestMiner]:
    async with honest_miner(SystemClock()) as miner:
        yield miner


@pytest.fixture
async def client() -> AsyncIterator[MinerCommunicator]:
    client = MinerCommunicator(HotkeySigner.generate(), SystemClock(), allow_private_endpoints=True)
    yield client
    await client.close()


@pytest.fixture
async def impatient() -> AsyncIterator[MinerCommunicator]:
    client = MinerCommunicator(HotkeySigner.generate(), SystemClock(), allow_private_endpoints=True, limits=IMPATIENT)
    yield client
    await client.close()
