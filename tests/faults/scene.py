"""What a fault needs around it: a pool, bystanders, and the count of what became of all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gaia.contracts.unit import ResultUnit, WorkUnit
from gaia.validator.app.compute.compute_pool import ComputePool
from gaia.validator.app.compute.pool_settings import PoolSettings
from tests.support.fault_handlers import FAULT_REGISTRY
from tests.support.fault_report import Ledger, Witness
from tests.support.pools import RunningPool, running_pool
from tests.support.waiting import until_async

LONGEST_S = 60.0


class Scene:
    """A pool in which something will go wrong. Every unit that is given here is counted at the end."""

    def __init__(self, running: RunningPool, workers: int, ledger: Ledger, witness: Witness) -> None:
        self.running = running
        self.workers = workers
        self.ledger = ledger
        self.witness = witness
        self._names: list[str] = []
        self._struck: set[str] = set()

    @property
    def pool(self) -> ComputePool:
        return self.running.pool

    def give(self, name: str, *, timeout_s: float = 300.0, priority: int = 0, max_attempts: int = 3,
             unit_id: str | None = None, **payload: Any) -> asyncio.Task[ResultUnit]:  # fmt: skip
        """A unit that leaves its stamp."""
        unit = WorkUnit(
            handler="stamp",
            payload={"ledger": str(self.ledger.folder), "name": name, **payload},
            unit_id=unit_id or name,
            timeout_s=timeout_s,
            priority=priority,
            max_attempts=max_attempts,
        )
        self._names.append(name)
        return asyncio.create_task(self._run(unit, name))

    def bystanders(self, count: int, **payload: Any) -> list[asyncio.Task[ResultUnit]]:
        """Harmless units, which must run exactly once whatever happens to others."""
        first = len(self._names)
        return [self.give(f"bystander-{first + number}", **payload) for number in range(count)]

    def strike(self, *names: str) -> None:
        """The fault happens now, and hits these units: they may run again."""
        self._struck.update(names)
        self.witness.strike()

    async def begun(self, name: str, runs: int = 1) -> None:
        """Wait until a unit has begun so often."""
        await until_async(lambda: self.ledger.runs(name) >= runs, f"{name} begins for the {runs}. time")

    async def serves_again(self) -> None:
        """Prove that units are done, and that every slot is filled: that is what recovery means."""
        async with asyncio.timeout(LONGEST_S):
            result = await self.give(f"probe-{len(self._names)}")
            assert result.ok, result.error
            await until_async(lambda: self.pool.statistics().workers >= self.workers, "every slot has dialled in")
        self.witness.recover()

    async def account(self, *tasks: asyncio.Task[ResultUnit]) -> list[ResultUnit]:
        """Wait for these units, then count all of the scene: none lost, none twice."""
        async with asyncio.timeout(LONGEST_S):
            results = list(await asyncio.gather(*tasks))
        self.witness.lost, self.witness.twice = self.ledger.check(self._names, struck=self._struck)
        assert (self.witness.lost, self.witness.twice) == (0, 0)
        return results

    async def _run(self, unit: WorkUnit, name: str) -> ResultUnit:
        result = await self.pool.run(unit)
        self.ledger.apply(name)  # whatever it is: an error is an answer too
        return result


@asynccontextmanager
async def scene(
    ledger: Ledger, witness: Witness, workers: int = 2, settings: PoolSettings | None = None
) -> AsyncIterator[Scene]:
    """A running pool with the handlers of faults."""
    async with running_pool(workers, settings, registry=FAULT_REGISTRY) as running:
        made = Scene(running, workers, ledger, witness)
        await until_async(lambda: running.pool.statistics().workers >= workers, "the workers have dialled in")
        yield made
