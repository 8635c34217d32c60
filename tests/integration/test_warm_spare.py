"""A worker more than work at once: it stands by, warm, and takes the place of whoever goes."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from gaia.contracts.unit import WorkUnit
from gaia.validator.app.compute.pool_settings import PoolSettings
from tests.support.pools import RunningPool, running_pool
from tests.support.waiting import is_running, lines_of, until_async

pytestmark = pytest.mark.processes


async def spare_stands_by(running: RunningPool) -> None:
    await until_async(lambda: running.pool.statistics().standing_by == 1, "a spare stands by")


async def pid_of_next(running: RunningPool) -> int:
    result = await running.pool.run(WorkUnit(handler="environment", payload={"names": []}))
    assert result.value is not None
    return int(result.value["pid"])


async def test_no_more_work_at_once_than_have_a_place(tmp_path: Path) -> None:
    async with running_pool(workers=2, settings=PoolSettings(compute_workers=1)) as running:
        await spare_stands_by(running)
        began, release = tmp_path / "began", tmp_path / "release"
        payload = {"began": str(began), "until": str(release)}
        units = [
            asyncio.create_task(running.pool.run(WorkUnit(handler="wait_for_file", payload=payload))) for _ in range(3)
        ]
        await until_async(lambda: lines_of(began), "the first begins")
        statistics = running.pool.statistics()
        assert (statistics.workers, statistics.workers_busy, statistics.waiting) == (2, 1, 2)
        (unit,) = statistics.running
        assert (unit.handler, unit.attempt, unit.progress) == ("wait_for_file", 1, None)
        release.touch()
        assert all(result.ok for result in await asyncio.gather(*units))


async def test_the_spare_takes_over_before_a_killed_worker_has_been_started_again(tmp_path: Path) -> None:
    async with running_pool(workers=2, settings=PoolSettings(compute_workers=1)) as running:
        await spare_stands_by(running)
        both = {running.workers.pid(0), running.workers.pid(1)}
        began = tmp_path / "began"
        stuck = asyncio.create_task(
            running.pool.run(
                WorkUnit(handler="wait_for_file", payload={"began": str(began), "until": str(tmp_path / "never")})
            )
        )
        first = int((await until_async(lambda: lines_of(began), "the unit begins"))[0])
        (spare,) = both - {first}
        stuck.cancel()  # its worker is killed for it
        assert await pid_of_next(running) == spare
        await until_async(lambda: not is_running(first), "the cancelled unit's worker is dead")


async def test_worn_out_workers_go_only_when_a_spare_stands_by_and_units_never_wait_for_a_start() -> None:
    async with running_pool(workers=2, settings=PoolSettings(compute_workers=1, recycle_units=5)) as running:
        pids: list[int] = []
        while running.pool.statistics().retired < 3:
            pids.append(await pid_of_next(running))
        await spare_stands_by(running)
        # Each served at least its 4 units (5 less 20 %), and the next had been up before it went.
        lives = [pids.count(pid) for pid in dict.fromkeys(pids)]
        assert len(lives) >= 3
        assert all(life >= 4 for life in lives[:3])
        assert running.pool.statistics().workers_lost == 0


async def test_a_spare_imports_what_has_proved_to_work_before_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imports = tmp_path / "imports"
    monkeypatch.setenv("ANNOUNCE_IMPORTS_TO", str(imports))
    async with running_pool(
        workers=2, settings=PoolSettings(compute_workers=1), registry="tests.support.announced_table:HANDLERS"
    ) as running:
        await spare_stands_by(running)
        assert not (await running.pool.run(WorkUnit(handler="import_fails", payload={}))).ok
        result = await running.pool.run(WorkUnit(handler="announced", payload={}))
        assert result.value is not None
        both = {str(running.workers.pid(0)), str(running.workers.pid(1))}
        await until_async(lambda: set(lines_of(imports)) == both, "the spare has imported the handler")
        os.kill(result.value["pid"], signal.SIGKILL)
        # The next spare is told when it comes.
        await until_async(lambda: len(lines_of(imports)) == 3, "the new spare has imported the handler")


async def test_a_spare_that_is_killed_is_replaced_and_nobody_notices() -> None:
    async with running_pool(workers=2, settings=PoolSettings(compute_workers=1)) as running:
        await spare_stands_by(running)
        first = await pid_of_next(running)
        (spare,) = {running.workers.pid(0), running.workers.pid(1)} - {first}
        assert spare is not None
        os.kill(spare, signal.SIGKILL)
        await until_async(lambda: running.pool.statistics().standing_by == 0, "the spare's end is noticed")
        assert await pid_of_next(running) == first
        await spare_stands_by(running)
        assert running.pool.statistics().workers_lost == 0
