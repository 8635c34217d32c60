"""Compute workers that live on and misbehave: they hang, grow, lie, or keep the channel from working."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gaia.contracts.unit import ResultUnit, WorkUnit
from gaia.validator.app.compute.pool_settings import PoolSettings
from tests.faults.scene import scene
from tests.support.disks import tmpfs_of
from tests.support.fault_report import Ledger, Witness
from tests.support.waiting import is_running, lines_of, until_async

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

WORKER = "compute worker"
UNIT = "unit of work"
MIB = 1024 * 1024


def code_of(result: ResultUnit) -> str | None:
    return result.error.code if result.error is not None else None


@pytest.mark.fault(
    WORKER, "SIGSTOPped for longer than the timeout", must="killed at the deadline, unit fails, retryable"
)
async def test_a_stopped_worker(ledger: Ledger, witness: Witness, tmp_path: Path) -> None:
    async with scene(ledger, witness) as here:
        given = {"began": str(tmp_path / "began"), "until": str(tmp_path / "never")}
        stuck = here.give("stuck", act="wait_for_file", given=given, timeout_s=1.5)
        pid = int((await until_async(lambda: lines_of(tmp_path / "began"), "the unit begins"))[0])
        os.kill(pid, signal.SIGSTOP)
        here.strike("stuck")
        result, *_ = await here.account(stuck, *here.bystanders(20))
        await until_async(lambda: not is_running(pid), "the stopped worker is dead")
        await here.serves_again()
        assert result.error is not None
        assert (result.error.code, result.error.retryable, ledger.runs("stuck")) == ("unit_timed_out", True, 1)
        witness.saw(
            f"`{result.error.code}` after {result.duration_s:.2f} s of the 1.5 that it had; "
            f"begun {ledger.runs('stuck')} time"
        )


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(act, marks=pytest.mark.fault(WORKER, fault, must="killed at the deadline, whatever it holds"))
        for act, fault in (
            ("hold_interpreter", "sleeps in C with the interpreter lock held"),
            ("hold_interpreter_busy", "endless loop that no signal handler interrupts"),
            ("ignore_sigterm", "ignores SIGTERM and hangs"),
        )
    ],
)
async def test_a_worker_that_hangs(act: str, ledger: Ledger, witness: Witness, tmp_path: Path) -> None:
    async with scene(ledger, witness) as here:
        stuck = here.give("stuck", act=act, given={"began": str(tmp_path / "began")}, timeout_s=0.5)
        await here.begun("stuck")
        if act == "ignore_sigterm":
            pid = int((await until_async(lambda: lines_of(tmp_path / "began"), "its ears are shut"))[0])
            os.kill(pid, signal.SIGTERM)
        here.strike("stuck")
        result, *_ = await here.account(stuck, *here.bystanders(20))
        await here.serves_again()
        assert (code_of(result), result.attempt, ledger.runs("stuck")) == ("unit_timed_out", 1, 1)
        assert result.duration_s >= 0.5
        witness.saw(f"`unit_timed_out` {1000 * (result.duration_s - 0.5):.0f} ms after its deadline")


@pytest.mark.fault(WORKER, "leaks past the soft limit", must="replaced after its unit, no unit disturbed")
async def test_a_worker_that_leaks(ledger: Ledger, witness: Witness, full: bool) -> None:
    replacements = 20 if full else 3
    async with scene(ledger, witness, settings=PoolSettings(worker_soft_memory_bytes=120 * MIB)) as here:
        here.strike()
        results: list[ResultUnit] = []
        while here.pool.statistics().retired < replacements:  # one at a time: the next waits for the replacement
            tasks = [here.give(f"leak-{len(results) + n}", act="leak", given={"bytes": 30 * MIB}) for n in range(2)]
            results += await here.account(*tasks)
        await here.serves_again()
        statistics = here.pool.statistics()
        assert all(result.ok and result.attempt == 1 for result in results)
        assert (statistics.workers_lost, statistics.memory_exceeded) == (0, 0)
        witness.saw(
            f"{len(results)} units that leaked 30 MiB each, all at the first attempt; "
            f"{statistics.retired} workers replaced in turn"
        )


@pytest.mark.fault(WORKER, "leaps past the hard limit", must="killed within a sample; the unit named, not retried")
async def test_a_worker_that_leaps(ledger: Ledger, witness: Witness, tmp_path: Path) -> None:
    limit_bytes = 200 * MIB
    async with scene(ledger, witness, settings=PoolSettings(worker_hard_memory_bytes=limit_bytes)) as here:
        height = tmp_path / "height"
        here.strike("leap")
        greedy = here.give("leap", act="leap", given={"step_bytes": MIB, "height": str(height)})
        result, *_ = await here.account(greedy, *here.bystanders(20))
        await here.serves_again()
        reached_bytes = height.stat().st_size * MIB
        assert (code_of(result), result.attempt, ledger.runs("leap")) == ("memory_exceeded", 1, 1)
        assert result.error is not None
        assert "200 MiB" in result.error.message
        assert reached_bytes < 3 * limit_bytes  # what RLIMIT_DATA would have stopped without us
        witness.saw(
            f"killed when it had taken {reached_bytes // MIB} MiB of 200; `memory_exceeded` names handler and limit"
        )


@pytest.mark.fault(WORKER, "one allocation beyond all bounds", must="MemoryError inside the handler, worker lives on")
async def test_an_allocation_beyond_all_bounds(ledger: Ledger, witness: Witness, tmp_path: Path) -> None:
    async with scene(ledger, witness, settings=PoolSettings(worker_hard_memory_bytes=200 * MIB)) as here:
        here.strike()
        result, = await here.account(here.give("huge", act="allocate", given={"bytes": 3000 * MIB}))  # fmt: skip
        await here.serves_again()
        assert code_of(result) == "memory_exceeded"
        assert here.pool.statistics().workers_lost == 0
        witness.saw("`memory_exceeded` with the handler's traceback; no worker lost")


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(
            act, marks=pytest.mark.fault(WORKER, fault, must="an error or `poison_unit`; the next unit is done")
        )
        for act, fault in (
            ("compile_without_memory", "numba (LLVM) at the memory limit"),
            ("multiply_without_memory", "BLAS at the memory limit"),
        )
    ],
)
async def test_a_library_without_memory(act: str, ledger: Ledger, witness: Witness) -> None:
    # The handler itself fills what RLIMIT_DATA leaves. bytearray asks for zeroed pages and touches none, so that the
    # hard limit on resident memory, a third of it, is not what ends it.
    async with scene(ledger, witness, settings=PoolSettings(worker_hard_memory_bytes=1024 * MIB)) as here:
        here.strike("starved")
        starved = here.give("starved", act=act, given={"block_bytes": 4 * MIB}, timeout_s=60.0)
        result, *others = await here.account(starved, *here.bystanders(10))
        await here.serves_again()
        assert all(other.ok for other in others)
        what = "it made do with what was left" if result.ok else f"`{code_of(result)}` after {result.attempt} attempts"
        witness.saw(f"{what}; bystanders done")


@pytest.mark.parametrize(
    ("act", "code", "said"),
    [
        pytest.param(
            *(act, code, said),
            marks=pytest.mark.fault(UNIT, fault, must="an error as data; the worker goes on"),
            id=act,
        )
        for act, code, said, fault in (
            ("raise_unpicklable", "unpicklable", "holds a lock", "raises an exception that cannot be pickled"),
            ("raise_unloadable", "unloadable", "one and other", "raises one that pickles but cannot be unpickled"),
            ("return_object", "result_unserialisable", "cannot be sent", "returns what cannot be sent"),
        )
    ],
)
async def test_a_failure_that_no_pickle_carries(
    act: str, code: str, said: str, ledger: Ledger, witness: Witness
) -> None:
    async with scene(ledger, witness) as here:
        here.strike()
        result, *_ = await here.account(here.give("odd", act=act), *here.bystanders(5))
        await here.serves_again()
        assert result.error is not None
        assert (result.error.code, result.attempt) == (code, 1)
        assert said in result.error.message
        assert here.pool.statistics().workers_lost == 0
        witness.saw(f"`{code}`, with message and traceback as text; no worker lost")


@pytest.mark.parametrize(
    ("handler", "code"),
    [
        pytest.param(
            *(handler, code), marks=pytest.mark.fault(UNIT, fault, must="an error that names it; the worker goes on")
        )
        for handler, code, fault in (
            ("no_such_handler", "handler_unknown", "its handler is missing"),
            ("import_fails", "handler_unavailable", "its handler's import fails"),
        )
    ],
)
async def test_a_handler_that_is_not_there(handler: str, code: str, ledger: Ledger, witness: Witness) -> None:
    async with scene(ledger, witness) as here:
        here.strike()
        error = (await here.pool.run(WorkUnit(handler=handler, payload={}))).error
        await here.serves_again()
        await here.account(*here.bystanders(5))
        assert error is not None
        assert error.code == code
        assert handler in error.message
        assert here.pool.statistics().workers_lost == 0
        witness.saw(f"`{code}`: {error.message.split(' in ')[0].split(':')[0]}")


@pytest.mark.fault(UNIT, "its handler prints to stdout", must="the channel is undisturbed; the text goes to stderr")
async def test_a_handler_that_prints(ledger: Ledger, witness: Witness, capfd: pytest.CaptureFixture[str]) -> None:
    async with scene(ledger, witness) as here:
        here.strike()
        result, *_ = await here.account(here.give("loud", act="print_much"), *here.bystanders(5))
        await here.serves_again()
        assert result.ok
        seen = capfd.readouterr()
        assert "printed by a handler" in seen.err
        assert "printed by a handler" not in seen.out
        witness.saw("print and write(1, …) both came out on stderr")


@pytest.mark.fault(WORKER, "a late result of an older attempt", must="dropped by its attempt; the true one counts")
async def test_a_late_result(ledger: Ledger, witness: Witness) -> None:
    async with scene(ledger, witness, workers=1) as here:
        here.strike()
        given = {"unit_id": "twofold", "attempt": 0}
        late = here.give("twofold", act="answer_for_an_older_attempt", given=given)
        result, *_ = await here.account(late, *here.bystanders(5))
        await here.serves_again()
        assert result.value is not None
        assert (result.ok, result.value["late"]) == (True, False)
        assert here.pool.statistics().stale_results == 1
        witness.saw(
            f"{here.pool.statistics().stale_results} stale result counted and dropped; the unit's own delivered"
        )


@pytest.mark.fault(
    WORKER, "is stopped past the timeout, the unit given again, and wakes", must="its result never counts"
)
async def test_a_worker_that_wakes_too_late(ledger: Ledger, witness: Witness, tmp_path: Path) -> None:
    async with scene(ledger, witness) as here:
        began, release = tmp_path / "began", tmp_path / "release"
        given = {"began": str(began), "until": str(release)}
        first = here.give("late", act="wait_for_file", given=given, timeout_s=1.0)
        pid = int((await until_async(lambda: lines_of(began), "the unit begins"))[0])
        os.kill(pid, signal.SIGSTOP)
        here.strike("late")
        assert code_of(await first) == "unit_timed_out"
        (ledger.folder / "applied" / "late.0").unlink()  # a failure to be tried again is no effect
        again = here.give("late", act="wait_for_file", given=given)
        release.touch()
        await here.begun("late", runs=2)
        with contextlib.suppress(ProcessLookupError):  # dead: that is why it can never speak
            os.kill(pid, signal.SIGCONT)
        result, = await here.account(again)  # fmt: skip
        await here.serves_again()
        assert result.value is not None
        assert result.value["pid"] != pid
        assert not is_running(pid)
        witness.saw("it was dead before the unit was given again; the caller's second try delivered once")


@pytest.mark.fault(UNIT, "result above the bound (17 MiB)", must="an error that says what to do instead")
async def test_a_result_above_the_bound(ledger: Ledger, witness: Witness) -> None:
    async with scene(ledger, witness) as here:
        here.strike()
        result, *_ = await here.account(
            here.give("vast", act="return_bytes", given={"bytes": 17 * MIB}), *here.bystanders(5)
        )
        await here.serves_again()
        assert code_of(result) == "frame_too_large"
        assert result.error is not None
        assert "write big data to a file and send its path" in result.error.message
        witness.saw(f"`{result.error.code}`, with the fix in its message")


@pytest.mark.fault(UNIT, "payload of 200 MB", must="refused with a clear error, before anything is sent")
async def test_a_payload_of_200_megabytes(ledger: Ledger, witness: Witness) -> None:
    async with scene(ledger, witness) as here:
        here.strike()
        block = bytes(200_000_000)
        result, *_ = await here.account(here.give("vast", given={"block": block}), *here.bystanders(5))
        await here.serves_again()
        assert (code_of(result), ledger.runs("vast")) == ("frame_too_large", 0)
        assert result.error is not None
        assert "write big data to a file and send its path" in result.error.message
        witness.saw(f"`{result.error.code}`; {ledger.runs('vast')} workers saw it")


@pytest.mark.fault(WORKER, "writes rubbish into its channel", must="killed at once; its unit is done elsewhere")
async def test_a_worker_that_writes_rubbish(ledger: Ledger, witness: Witness) -> None:
    async with scene(ledger, witness) as here:
        here.strike("rubbish")
        unit = here.give("rubbish", act="write_rubbish", times=1)
        result, *_ = await here.account(unit, *here.bystanders(20))
        await here.serves_again()
        assert (result.ok, result.attempt) == (True, 2)
        witness.saw(f"done by attempt {result.attempt} on a new worker")


@pytest.mark.fault(WORKER, "closes its channel and lives on", must="killed first, then its unit is done elsewhere")
async def test_a_worker_that_closes_its_channel(ledger: Ledger, witness: Witness, tmp_path: Path) -> None:
    began = tmp_path / "began"
    async with scene(ledger, witness) as here:
        here.strike("closed")
        unit = here.give("closed", act="close_channel", times=1, given={"began": str(began)})
        result, *_ = await here.account(unit, *here.bystanders(20))
        await here.serves_again()
        assert (result.ok, result.attempt) == (True, 2)
        assert not is_running(int(lines_of(began)[0]))
        witness.saw(f"the living worker was killed; done by attempt {result.attempt}")


@pytest.mark.fault(WORKER, "numba's cache folder is read-only", must="units are computed all the same")
async def test_a_read_only_numba_cache(
    ledger: Ledger, witness: Witness, read_only_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gaia.validator.app.compute.worker_launch import WorkerLaunch

    monkeypatch.setattr(WorkerLaunch, "environment", _with_numba_cache(read_only_folder))
    async with scene(ledger, witness) as here:
        here.strike()
        results = await here.account(*(here.give(f"{n}", act="compile_and_cache", timeout_s=60) for n in range(4)))
        await here.serves_again()
        values = [result.value for result in results if result.value is not None]
        assert [value["number"] for value in values] == [42.0] * len(results), results[0].error
        assert list(read_only_folder.iterdir()) == []
        pids = {value["pid"] for value in values}
        witness.saw(
            f"{len(values)} units compiled and computed by {len(pids)} workers; nothing written into the folder"
        )


def _with_numba_cache(folder: Path) -> Any:
    return lambda _: {"NUMBA_CACHE_DIR": str(folder)}


@pytest.fixture
def read_only_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that not even root can write: a file system mounted read-only."""
    with tmpfs_of(tmp_path / "read-only", "ro,size=64k") as folder:
        yield folder


@pytest.mark.fault("100,000 units", "tiny, all submitted at once", must="each gets its own answer; a bounded line")
async def test_a_hundred_thousand_tiny_units(ledger: Ledger, witness: Witness, full: bool) -> None:
    units = 100_000 if full else 3_000
    settings = PoolSettings(queue_capacity=200, recycle_units=20_000)
    async with scene(ledger, witness, settings=settings) as here:
        here.strike()
        answers = asyncio.Queue[int]()
        deepest = 0

        async def caller(numbers: Iterator[int]) -> None:
            nonlocal deepest
            for number in numbers:
                result = await here.pool.run(WorkUnit(handler="echo", payload={"number": number}))
                assert result.value == {"number": number}
                answers.put_nowait(number)
                deepest = max(deepest, here.pool.queue_depth())

        numbers = iter(range(units))
        await asyncio.gather(*(caller(numbers) for _ in range(500)))
        seen = sorted(answers.get_nowait() for _ in range(answers.qsize()))
        assert seen == list(range(units))
        assert deepest <= 200
        witness.lost, witness.twice = units - len(set(seen)), len(seen) - len(set(seen))
        statistics = here.pool.statistics()
        assert (statistics.units_done, statistics.stale_results) == (units, 0)
        witness.recover()
        witness.saw(f"{units} answers, each its own, by 500 callers; at most {deepest} waited; "
                    f"{statistics.retired} workers recycled")  # fmt: skip
