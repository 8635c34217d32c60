"""The local pool keeps the contract of a ComputeBackend, bare and with everything around it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gaia.contracts.ports import ComputeBackend
from gaia.validator.app.compute.process_pool import ProcessPool
from tests.contract.compute_backend_suite import ComputeBackendSuite
from tests.support.pools import REGISTRY, running_pool

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("unmeasured_children")]


class TestComputePool(ComputeBackendSuite):
    @pytest.fixture
    async def backend(self) -> AsyncIterator[ComputeBackend]:
        async with running_pool(workers=2) as running:
            yield running.pool


class TestProcessPool(ComputeBackendSuite):
    @pytest.fixture
    async def backend(self) -> AsyncIterator[ComputeBackend]:
        async with ProcessPool(REGISTRY, compute_workers=2, compute_spares=1) as pool:
            yield pool
