"""The simulated chain passes the suite of the chain port."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gaia.chain.simulated import SimulatedChain
from gaia.protocol.keys import HotkeySigner
from tests.contract.chain_suite import NETUID, PARAMETERS, ChainSuite, ChainWorld

pytestmark = pytest.mark.database


class TestSimulatedChain(ChainSuite):
    """On a fresh PostgreSQL database."""

    @pytest.fixture
    async def world(self, database_dsn: str) -> AsyncIterator[ChainWorld]:
        chain = await SimulatedChain.connect(database_dsn)
        await chain.create_subnet(NETUID, PARAMETERS, block_time_s=3600.0)
        signers = [HotkeySigner.generate() for _ in range(7)]
        holdings = [(2000.0, True), (999.0, True), (2000.0, False), *[(0.0, False)] * 3]
        for signer, (stake_tao, permit) in zip(signers, holdings, strict=False):
            await chain.register(NETUID, signer.hotkey, stake_tao=stake_tao, validator_permit=permit)
        yield ChainWorld(
            chain=chain, validator=signers[0], poor=signers[1], unpermitted=signers[2], stranger=signers[6]
        )
        await chain.close()
