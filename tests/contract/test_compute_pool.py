"""The local pool keeps the contract of a ComputeBackend."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gaia.contracts.ports import ComputeBackend
from tests.contract.compute_backend_suite import ComputeBackendSuite
from tests.support.pools import running_pool

pytestmark = pytest.mark.processes


class TestComputePool(ComputeBackendSuite):
    @pytest.fixture
    async def backend(self) -> AsyncIterator[ComputeBackend]:
        async with running_pool(workers=2) as running:
            yield running.pool
