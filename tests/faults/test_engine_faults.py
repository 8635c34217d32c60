"""The IO-Engine: killed, blocked, stopped, under the real supervisor."""

from __future__ import annotations

import os
import signal
import sys
from datetime import datetime
from typing import Any

import asyncpg
import pytest

from gaia.contracts.job import NewJob
from gaia.validator.app.processes.child import python_module
from gaia.validator.app.processes.restart_policy import RestartPolicy
from gaia.validator.db.pool import DatabasePool
from gaia.validator.db.queue import PostgresQueue
from tests.faults.loaded_stack import LoadedStack
from tests.support.backbone_stack import Stack
from tests.support.durable_engine import CONCURRENCY, KIND, LEASE
from tests.support.fault_report import Ledger, Witness
from tests.support.waiting import until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]

ENGINE = "IO-Engine"


@pytest.fixture
def loaded(stack: Stack, ledger: Ledger, witness: Witness) -> LoadedStack:
    return LoadedStack(stack, ledger, witness)


@pytest.mark.fault(ENGINE, "SIGKILLed while idle", must="restarted alone; the workers dial the new one")
def test_an_idle_engine_killed(loaded: LoadedStack) -> None:
    stack = loaded.stack
    loaded.start()
    stack.wait_ready()
    engine, workers = stack.pid_of("io_engine"), {stack.pid_of("compute_worker", slot) for slot in (0, 1)}
    os.kill(engine, signal.SIGKILL)
    loaded.strike()
    loaded.serves_again()
    loaded.account()
    assert stack.pid_of("io_engine") != engine
    kept = workers & {stack.pid_of("compute_worker", slot) for slot in (0, 1)}
    assert kept == workers
    loaded.witness.saw(f"a unit given right after the kill was done by the same {len(kept)} workers")


@pytest.mark.database
@pytest.mark.fault(
    ENGINE, "SIGKILLed with 20 durable jobs in flight", must="all taken up again; each takes effect once"
)
async def test_an_engine_killed_with_twenty_jobs_in_flight(
    loaded: LoadedStack, database_dsn: str, database: DatabasePool, full: bool
) -> None:
    stack, ledger, witness = loaded.stack, loaded.ledger, loaded.witness
    loaded.replace_settings(database_url=database_dsn)
    stack.engine = (
        *python_module("tests.support.durable_engine"), "--socket", str(stack.settings.engine_socket)
    )  # fmt: skip
    loaded.start()
    count, kills = 100, 5 if full else 2
    names = [f"job-{number:03}" for number in range(count)]
    async with database.acquire() as conn:
        await conn.execute("CREATE TABLE applied (name text NOT NULL, engine int NOT NULL)")
    payload = {"ledger": str(ledger.folder), "act": "pause", "given": {"pause_s": 0.03}}
    queue = PostgresQueue(database, owner="test", lease=LEASE)
    await queue.put(*(NewJob(kind=KIND, key=name, payload={**payload, "name": name}) for name in names))

    async def applied() -> list[asyncpg.Record]:
        async with database.acquire() as conn:
            return list(await conn.fetch("SELECT name, count(*) AS times FROM applied GROUP BY name"))

    async def leased() -> set[str]:
        async with database.acquire() as conn:
            return {row["key"] for row in await conn.fetch("SELECT key FROM job WHERE state = 'leased'")}

    struck: set[str] = set()
    """Jobs in flight at a kill. A worker may begin one a moment later, for it was sent before."""
    for kill in range(kills):
        goal = (kill + 1) * count // (kills + 2)
        while not (len(await applied()) >= goal and (await queue.depth()).leased == CONCURRENCY):
            pass
        os.kill(stack.pid_of("io_engine"), signal.SIGKILL)
        witness.strike()
        done = {row["name"] for row in await applied()}
        struck |= await leased()
        while len(await applied()) <= len(done):
            pass
        witness.recover()
    while len(await applied()) < count:
        pass
    times = {row["name"]: row["times"] for row in await applied()}
    witness.lost = sum(name not in times for name in names)
    witness.twice = sum(value > 1 for value in times.values())
    assert (witness.lost, witness.twice) == (0, 0)
    ran_again = {name for name in names if ledger.runs(name) > 1}
    assert ran_again <= struck
    witness.saw(f"{kills} kills among {count} jobs, {CONCURRENCY} in flight at each: {len(ran_again)} begun again, "
                f"each of the {sum(times.values())} in the table once")  # fmt: skip


@pytest.mark.fault(ENGINE, "its event loop blocked for 10 s, below the stall limit", must="goes on; nothing lost")
def test_an_engine_whose_loop_is_blocked_for_a_while(loaded: LoadedStack, full: bool) -> None:
    blocked_s = 10.0 if full else 1.0
    engine = block_under_load(loaded, blocked_s)
    assert loaded.stack.pid_of("io_engine") == engine
    loaded.witness.saw(f"{blocked_s:g} s without a turn of the loop; then every result was taken in, and applied once")


@pytest.mark.fault(ENGINE, "its event loop blocked past the stall limit", must="killed and replaced; nothing lost")
def test_an_engine_whose_loop_is_blocked_for_good(loaded: LoadedStack) -> None:
    loaded.replace_settings(engine_stall_limit_s=2.0)
    engine = block_under_load(loaded, 600.0)
    assert loaded.stack.pid_of("io_engine") != engine
    (stall,) = loaded.stack.events("engine_stalled")
    assert stall["pid"] == engine
    loaded.witness.saw(
        f"killed by the supervisor after {stall['silent_s']:.1f} s of silence (limit {stall['limit_s']:g} s); "
        f"{loaded.ledger.units_applied()} units done and applied once"
    )


def block_under_load(loaded: LoadedStack, blocked_s: float) -> int:
    """Block the engine's loop while units run, account for all; the engine that was blocked."""
    stack = loaded.stack
    loaded.start()
    stack.wait_ready()
    engine = stack.pid_of("io_engine")
    names = loaded.give(20, act="pause", given={"pause_s": 0.05})
    until(lambda: loaded.finished(names) >= 2, "units flow")
    stack.do("zz-block", "block_the_loop", pause_s=blocked_s)
    until(lambda: not (stack.folder / "units" / "zz-block.json").exists(), "the loop is blocked")
    loaded.strike()
    loaded.serves_again()
    loaded.account()
    return engine


@pytest.mark.fault(ENGINE, "SIGTERM under load", must="running units finish; the next engine does the rest")
def test_an_engine_asked_to_stop_under_load(loaded: LoadedStack) -> None:
    stack = loaded.stack
    loaded.start()
    stack.wait_ready()
    engine = stack.pid_of("io_engine")
    names = loaded.give(60, act="pause", given={"pause_s": 0.03})
    until(lambda: loaded.finished(names) >= 5, "units flow")
    os.kill(engine, signal.SIGTERM)
    loaded.witness.strike()  # strikes no unit: all must run once
    loaded.serves_again()
    loaded.account()
    assert stack.pid_of("io_engine") != engine
    engines = sum(event["role"] == "io_engine" for event in stack.events("child_started"))
    loaded.witness.saw(f"{loaded.ledger.runs_of_all()} runs of {len(names) + 1} units, over {engines} engines")


@pytest.mark.fault(ENGINE, "ends at once, again and again, at the start", must="restart intensity trips; no busy loop")
def test_an_engine_in_a_crash_loop(loaded: LoadedStack) -> None:
    stack = loaded.stack
    stack.engine = (sys.executable, "-c", "raise SystemExit(1)")
    stack.restart = RestartPolicy(first_delay_s=0.05, longest_delay_s=0.4, max_failures=5)
    loaded.start()
    loaded.strike()
    assert stack.process is not None
    _, status, usage = os.wait4(stack.pid, 0)
    stack.process.returncode = os.waitstatus_to_exitcode(status)
    loaded.witness.recover()
    starts = [event for event in stack.events("child_started") if event["role"] == "io_engine"]
    ends = [event for event in stack.events("child_ended") if event["role"] == "io_engine"]
    pauses_s = [_between(end, start) for end, start in zip(ends, starts[1:], strict=True)]
    assert stack.process.returncode == 1
    assert "io_engine ended more than 5 times within 60 s" in stack.complaint()
    assert len(starts) == 6
    # Back-off: 0.05 s doubled each time, at most 0.4 s; a busy machine may make it longer, nothing makes it shorter.
    assert all(pause_s > 0.99 * due_s for pause_s, due_s in zip(pauses_s, (0.05, 0.1, 0.2, 0.4, 0.4), strict=True))
    cpu_s = usage.ru_utime + usage.ru_stime
    loaded.witness.saw(
        f"{len(starts)} starts, pauses of {', '.join(f'{pause_s:.2f}' for pause_s in pauses_s)} s, one line why, exit "
        f"status {stack.process.returncode}; {cpu_s:.2f} s of processor time, children included"
    )


def _between(earlier: dict[str, Any], later: dict[str, Any]) -> float:
    times = [datetime.fromisoformat(event["timestamp"]) for event in (earlier, later)]
    return (times[1] - times[0]).total_seconds()
