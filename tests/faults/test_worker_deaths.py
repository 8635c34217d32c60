"""Compute workers that die: when they are idle, and at every moment of a unit."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest

from gaia.validator.app.compute.pool_settings import PoolSettings
from tests.faults.scene import scene
from tests.support.fault_report import Ledger, Witness
from tests.support.waiting import is_running, lines_of, until, until_async

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

WORKER = "compute worker"
LARGE_BYTES = 12 * 1024 * 1024


@pytest.mark.fault(WORKER, "SIGKILLed while idle, again and again", must="replaced; units go on meanwhile")
async def test_an_idle_worker_killed_again_and_again(ledger: Ledger, witness: Witness, full: bool) -> None:
    kills = 100 if full else 8
    async with scene(ledger, witness) as here:
        tasks = []
        for _ in range(kills):
            pid = await until_async(lambda: here.running.workers.pid(0), "slot 0 is filled")
            os.kill(pid, signal.SIGKILL)
            here.strike()
            tasks += here.bystanders(3)
            await here.serves_again()
        results = await here.account(*tasks)
        assert all(result.ok for result in results)  # one may have been sent to the dead before its end was known
        witness.saw(f"{kills} kills, {kills} replacements, {len(tasks)} units between them done by the other worker")


@pytest.mark.fault(WORKER, "SIGKILLed while it receives a large unit", must="the unit is done by another worker")
async def test_a_worker_killed_while_it_receives_a_large_unit(ledger: Ledger, witness: Witness) -> None:
    async with scene(ledger, witness, workers=1) as here:
        pid = here.running.workers.pid(0)
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)  # what does not fit into the socket's buffer stays with the engine
        large = here.give("large", given={"block": bytes(LARGE_BYTES)})
        neighbours = here.bystanders(10)
        await until_async(lambda: here.pool.statistics().workers_busy == 1, "the unit is on its way")
        os.kill(pid, signal.SIGKILL)
        here.strike("large")
        await here.serves_again()
        result, *others = await here.account(large, *neighbours)
        assert (result.ok, result.attempt, ledger.runs("large")) == (True, 2, 1)
        assert all(other.attempt == 1 for other in others)
        witness.saw(
            f"{LARGE_BYTES >> 20} MiB half sent; attempt {result.attempt} received all of it; "
            f"begun {ledger.runs('large')} time"
        )


@pytest.mark.fault(WORKER, "SIGKILLed in mid-unit", must="the unit is done again elsewhere; bystanders run once")
async def test_a_worker_killed_in_mid_unit(ledger: Ledger, witness: Witness, tmp_path: Path) -> None:
    async with scene(ledger, witness) as here:
        began, release = tmp_path / "began", tmp_path / "release"
        victim = here.give("victim", act="wait_for_file", given={"began": str(began), "until": str(release)})
        neighbours = here.bystanders(30)
        pid = int((await until_async(lambda: lines_of(began), "the unit begins"))[0])
        os.kill(pid, signal.SIGKILL)
        here.strike("victim")
        await here.begun("victim", runs=2)
        await here.serves_again()
        release.touch()
        result, *others = await here.account(victim, *neighbours)
        assert (result.ok, result.attempt, ledger.runs("victim")) == (True, 2, 2)
        assert all(other.attempt == 1 for other in others)
        witness.saw(
            f"begun {ledger.runs('victim')} times, result of attempt {result.attempt} applied once; {len(others)} "
            "bystanders begun once each"
        )


@pytest.mark.fault(WORKER, "SIGKILLed while it sends a large result", must="half a result is none; done again")
async def test_a_worker_killed_while_it_sends_a_large_result(ledger: Ledger, witness: Witness) -> None:
    async with scene(ledger, witness) as here:
        here.strike("large")
        large = here.give("large", act="return_bytes", given={"bytes": LARGE_BYTES})
        await here.begun("large")
        # The loop stands still, so nobody reads: the worker fills the socket's buffer and sleeps in the midst of it.
        pid = _holder_of_a_full_socket(here.running.workers.pid(0), here.running.workers.pid(1))
        os.kill(pid, signal.SIGKILL)
        here.strike("large")
        await here.serves_again()
        result, = await here.account(large)  # fmt: skip
        assert (result.ok, result.attempt, ledger.runs("large")) == (True, 2, 2)
        assert result.value is not None
        assert len(result.value["bytes"]) == LARGE_BYTES
        witness.saw(
            f"the part that had come was dropped; attempt {result.attempt} delivered "
            f"{len(result.value['bytes']) >> 20} MiB"
        )


def _holder_of_a_full_socket(*pids: int | None) -> int:
    """The worker that sleeps in a send: the kernel names where a process waits."""

    def found() -> int | None:
        for pid in pids:
            if pid is not None and "sock_alloc_send" in Path(f"/proc/{pid}/wchan").read_text(encoding="ascii"):
                return pid
        return None

    return until(found, "a worker waits for its socket to empty")


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(act, marks=pytest.mark.fault(WORKER, fault, must=f"{kind} error after 3 attempts, cause named"))
        for act, fault, kind in (
            ("vanish", "exits with status 0 in mid-unit, each time", "poison unit"),
            ("die", "is SIGKILLed by its unit, each time", "poison unit"),
            ("segfault", "segmentation fault in C (ctypes), each time", "poison unit"),
            ("abort", "SIGABRT in C++ (as LLVM without memory), each time", "poison unit"),
        )
    ],
)
async def test_a_unit_that_ends_every_worker(act: str, ledger: Ledger, witness: Witness) -> None:
    async with scene(ledger, witness) as here:
        here.strike("poison")
        poison = here.give("poison", act=act)
        neighbours = here.bystanders(30)
        result, *others = await here.account(poison, *neighbours)
        await here.serves_again()
        assert result.error is not None
        assert (result.error.code, result.attempt, ledger.runs("poison")) == ("poison_unit", 3, 3)
        assert not result.error.retryable
        assert all(other.ok for other in others)
        await here.account()
        witness.saw(
            f"`{result.error.code}` after {result.attempt} workers; {len(others)} bystanders done, each begun once"
        )


@pytest.mark.fault(WORKER, "exits with status 0 in mid-unit, once", must="a clean exit is no result: done again")
async def test_a_worker_that_leaves_in_mid_unit(ledger: Ledger, witness: Witness) -> None:
    async with scene(ledger, witness) as here:
        here.strike("left")
        left = here.give("left", act="vanish", times=1)
        result, *_ = await here.account(left, *here.bystanders(10))
        await here.serves_again()
        assert (result.ok, result.attempt, ledger.runs("left")) == (True, 2, 2)
        witness.saw(f"done by attempt {result.attempt}")


@pytest.mark.fault(WORKER, "forks a child that holds the channel, and dies", must="its death counts, not the channel's")
async def test_a_worker_that_forks_and_dies(ledger: Ledger, witness: Witness, tmp_path: Path) -> None:
    stray = tmp_path / "stray"
    async with scene(ledger, witness, workers=1) as here:
        here.strike("forker")
        forker = here.give("forker", act="fork_and_die", times=1, given={"stray": str(stray)})
        result, *_ = await here.account(forker, *here.bystanders(10))
        await here.serves_again()
        assert (result.ok, result.attempt) == (True, 2)
        pid, descriptors = (int(number) for number in lines_of(stray))
        assert descriptors > 0  # so the channel did not close with the worker
        try:
            await until_async(lambda: not is_running(pid), "the stray child is gone too")
        finally:
            if is_running(pid):
                os.kill(pid, signal.SIGKILL)
        witness.saw(
            f"the stray held {descriptors} descriptor of the channel; attempt {result.attempt} did the unit; "
            "the stray was ended with its parent"
        )


@pytest.mark.fault(WORKER, "SIGTERM under load", must="finishes its unit, leaves, is replaced")
async def test_a_worker_asked_to_stop_under_load(ledger: Ledger, witness: Witness) -> None:
    async with scene(ledger, witness) as here:
        tasks = here.bystanders(200, act="pause", given={"pause_s": 0.005})
        await here.begun("bystander-5")
        pids = [here.running.workers.pid(slot) for slot in (0, 1)]
        for pid in pids:
            assert pid is not None
            os.kill(pid, signal.SIGTERM)
        here.strike()
        await until_async(lambda: not any(is_running(pid) for pid in pids if pid), "both have left")
        await here.serves_again()
        results = await here.account(*tasks)
        assert all(result.ok and result.attempt == 1 for result in results)
        assert here.pool.statistics().workers_lost == 0
        witness.saw(
            f"{len(pids)} workers told to stop: {len(results)} units done at the first attempt, "
            f"{here.pool.statistics().workers_lost} lost their worker"
        )


@pytest.mark.fault(WORKER, "storm of SIGKILLs at random, recycling on", must="every unit done, none applied twice")
async def test_a_storm_of_kills_with_recycling(ledger: Ledger, witness: Witness, full: bool) -> None:
    units = 3_000 if full else 300
    chance = random.Random(57)
    settings = PoolSettings(recycle_units=25, queue_capacity=50)
    async with scene(ledger, witness, settings=settings) as here:
        names = [f"unit-{number}" for number in range(units)]
        given = {"pause_s": 0.004}
        tasks = [here.give(name, act="pause", given=given, max_attempts=1_000) for name in names]
        kills = 0
        while not all(task.done() for task in tasks):
            pid = here.running.workers.pid(chance.randrange(2))
            if pid is not None and kills < units // 10:
                os.kill(pid, signal.SIGKILL)
                _wait_for_the_end_of(pid)
                # Whoever is begun and not yet applied may be hit; all others must run exactly once.
                here.strike(*_unfinished(ledger))
                kills += 1
            await asyncio.sleep(chance.uniform(0.0, 0.12))
        await here.serves_again()
        results = await here.account(*tasks)
        assert all(result.ok for result in results)
        again = sum(ledger.runs(name) > 1 for name in names)
        witness.saw(
            f"{units} units done, {kills} kills, {here.pool.statistics().retired} recycled; {again} units begun again, "
            f"the other {units - again} begun once"
        )


def _wait_for_the_end_of(pid: int) -> None:
    until(lambda: not is_running(pid), "it is dead")


def _unfinished(ledger: Ledger) -> set[str]:
    begun = {path.name.rpartition(".")[0] for path in (ledger.folder / "runs").iterdir()}
    return begun - {path.name.rpartition(".")[0] for path in (ledger.folder / "applied").iterdir()}
