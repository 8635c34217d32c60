"""What all processes stand on, taken away: the disk, open files, the wall clock."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import source_hash
from pathlib import Path

import asyncpg
import pytest

from gaia.contracts.job import NewJob
from gaia.validator.app.processes.child import python_module
from gaia.validator.app.processes.restart_policy import RestartPolicy
from gaia.validator.app.supervision.database_child import embedded_postgres
from gaia.validator.app.supervision.open_files import files_needed
from gaia.validator.db.embedded import EmbeddedPostgres
from gaia.validator.db.pool import DatabasePool
from gaia.validator.db.postgres_binaries import find_binaries
from gaia.validator.db.queue import PostgresQueue
from tests.faults.loaded_stack import LoadedStack
from tests.support.backbone_stack import Stack
from tests.support.demo_process import public_folder
from tests.support.disks import fill, tmpfs_of
from tests.support.durable_engine import KIND, LEASE
from tests.support.fault_report import Ledger, Witness
from tests.support.tools import needed_tool
from tests.support.waiting import lines_of, until, until_async

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]

MACHINE = "machine"
PAUSE = {"act": "pause", "given": {"pause_s": 0.03}}
LONGEST_S = 60.0


@pytest.fixture
def loaded(stack: Stack, ledger: Ledger, witness: Witness) -> LoadedStack:
    return LoadedStack(stack, ledger, witness)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with tmpfs_of(tmp_path / "disk", "size=2m") as disk:
        yield disk


@pytest.fixture
def on_small_disk(loaded: LoadedStack, small_disk: Path) -> LoadedStack:
    """With its data folder there."""
    loaded.replace_settings(data_dir=small_disk / "data", metrics_port=0)
    loaded.stack.engine = (
        *python_module("tests.support.backbone_engine", "--folder", str(loaded.stack.folder)),
        *("--socket", str(loaded.stack.settings.engine_socket)),
    )
    return loaded


@pytest.fixture
def never_compiled(tmp_path: Path) -> Mapping[str, str]:
    """As in an installation without compiled modules: all of them are ours to compile and to keep."""
    return {"PYTHONPYCACHEPREFIX": str(tmp_path / "nothing")}


@pytest.mark.fault(
    MACHINE, "data folder full, room again", must="a unit that writes fails as data; the others and restarts go on"
)
def test_a_full_data_folder(on_small_disk: LoadedStack, small_disk: Path, never_compiled: Mapping[str, str]) -> None:
    loaded, stack = on_small_disk, on_small_disk.stack
    loaded.start(environment=never_compiled)  # which alone fills the disk
    stack.wait_ready()
    stack.do("glutton", "fill_disk", path=str(small_disk / "data" / "block"))
    error = stack.result("glutton").error
    assert error is not None
    assert (error.code, "No space left on device" in error.message) == ("os_error", True)
    assert shutil.disk_usage(small_disk).free == 0
    names = units_done_while_all_are_replaced(loaded)

    (small_disk / "data" / "block").unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True, timeout=30)
    kept_before = len(kept_modules(stack))
    names += units_done_while_all_are_replaced(loaded)
    loaded.account()
    stopped_without_another_end(loaded, killed=4)
    kept = kept_modules(stack)
    assert all(map(is_whole, kept))
    assert len(kept) > kept_before
    loaded.witness.saw(
        f"`{error.code}: No space left on device`; engine and workers came back on the full disk and after it, "
        f"{len(names)} units done; {kept_before} compiled modules kept on it, {len(kept)} after it, all whole"
    )


@pytest.mark.fault(MACHINE, "started on a full data folder", must="all come up and work, however slowly")
def test_a_start_on_a_full_data_folder(
    on_small_disk: LoadedStack, small_disk: Path, never_compiled: Mapping[str, str]
) -> None:
    loaded, stack = on_small_disk, on_small_disk.stack
    loaded.start(environment=never_compiled)
    stack.wait_ready()
    stopped_without_another_end(loaded, killed=0)
    shutil.rmtree(small_disk / "data" / "cache" / "python")
    fill(small_disk / "ballast")
    loaded.witness.strike()
    loaded.start(environment=never_compiled)
    loaded.serves_again()
    names = loaded.give(20, **PAUSE)
    loaded.account()
    stopped_without_another_end(loaded, killed=0)
    assert kept_modules(stack) == []
    assert len(stack.events("metrics_port_not_written")) == 1
    loaded.witness.saw(f"{len(names)} units done, nothing kept, no child ended but when it was asked to")


@pytest.mark.fault(MACHINE, "kept compiled modules cut short", must="compiled anew; no process ends of them")
def test_compiled_modules_that_are_cut_short(loaded: LoadedStack, never_compiled: Mapping[str, str]) -> None:
    stack = loaded.stack
    loaded.start(environment=never_compiled)
    (name,) = loaded.give(1)
    assert stack.result(name).ok
    stopped_without_another_end(loaded, killed=0)
    kept = kept_modules(stack)
    lengths = (0, 8, 16, 20, None, -1)
    for turn in range(2):  # so that a module of each process is cut to several lengths
        for number, path in enumerate(kept):
            size, length = path.stat().st_size, lengths[(number + 3 * turn) % len(lengths)]
            os.truncate(path, size // 2 if length is None else length % size)
        loaded.witness.strike()
        loaded.start(environment=never_compiled)
        loaded.serves_again()
        stopped_without_another_end(loaded, killed=0)
        assert all(map(is_whole, kept))
    loaded.account()
    loaded.witness.saw(f"{len(kept)} of them cut to 0, 8, 16, 20 bytes, to half and by one byte; all whole again")


def units_done_while_all_are_replaced(loaded: LoadedStack) -> list[str]:
    """Kill a worker and the engine; give units, wait for all results."""
    stack = loaded.stack
    worker, engine = stack.pid_of("compute_worker"), stack.pid_of("io_engine")
    os.kill(worker, signal.SIGKILL)
    os.kill(engine, signal.SIGKILL)
    loaded.strike()
    names = loaded.give(20, **PAUSE)
    loaded.serves_again()
    until(lambda: stack.pid_of("compute_worker") != worker, "the worker is started again")
    until(lambda: loaded.finished(names) == len(names), "all units are done")
    return names


def stopped_without_another_end(loaded: LoadedStack, *, killed: int) -> None:
    """Stop it; of all its children's ends only so many were not asked for."""
    stack = loaded.stack
    os.kill(stack.pid, signal.SIGTERM)
    assert stack.exit_status() == 0
    assert sum(event["level"] == "warning" for event in stack.events("child_ended")) == killed


def kept_modules(stack: Stack) -> list[Path]:
    """The compiled modules in its data folder."""
    return sorted((Path(stack.settings.data_dir) / "cache" / "python").glob("*.code"))


def is_whole(kept: Path) -> bool:
    """Whether its second digest, from byte 8, is that of its content, from byte 16."""
    content = kept.read_bytes()
    return content[8:16] == source_hash(content[16:])


@pytest.fixture
def roomy_disk() -> Iterator[Path]:
    """Enough for a cluster, its log and what must be free; reached by PostgreSQL's account."""
    with public_folder("gaia-disk-") as folder, tmpfs_of(folder / "disk", "size=420m") as disk:
        yield disk


@pytest.mark.database
@pytest.mark.fault(
    MACHINE, "data folder full in mid-run, PostgreSQL's too", must="says so, waits, goes on when there is room; no loss"
)
async def test_a_disk_that_fills_up_in_mid_run(
    loaded: LoadedStack, roomy_disk: Path, pristine_cluster: Path, full: bool
) -> None:
    stack, tries, engine_tries = loaded.stack, *((20, 20) if full else (5, 2))
    server = a_stack_with_its_own_server(loaded, roomy_disk / "data", pristine_cluster)
    loaded.start()
    await until_async(lambda: stack.events("validator_ready"), "all run", LONGEST_S)
    names = [f"job-{number:02}" for number in range(60)]
    await put_jobs(server.dsn, loaded.ledger, names)
    await until_async(lambda: sum(map(loaded.ledger.runs, names)) >= 10, "jobs flow")

    ballast = roomy_disk / "ballast"
    fill(ballast)
    (said,) = await until_async(lambda: stack.events("data_folder_full"), "the supervisor says so")
    await exhaust_the_log_of(server.dsn)
    os.kill(stack.pid_of("io_engine"), signal.SIGKILL)
    await until_async(lambda: starts_of(stack, "postgres") > tries, "the server is tried again and again", LONGEST_S)
    await until_async(lambda: starts_of(stack, "io_engine") > engine_tries, "so is the engine", LONGEST_S)
    begun = sum(map(loaded.ledger.runs, names))
    assert stack.process is not None
    assert stack.process.poll() is None

    ballast.unlink()
    loaded.witness.strike()
    applied = await applied_once_all_are(server.dsn, len(names))
    loaded.witness.recover()
    loaded.witness.lost = sum(name not in applied for name in names)
    loaded.witness.twice = sum(times > 1 for times in applied.values())
    assert (loaded.witness.lost, loaded.witness.twice) == (0, 0)
    os.kill(stack.pid, signal.SIGTERM)
    assert stack.exit_status() == 0
    assert "Bad checksums:  0" in checked_pages_of(server.data_dir)
    loaded.witness.saw(
        f"`data_folder_full` at {said['free_mib']} MiB, {begun} of {len(names)} jobs begun by then; PostgreSQL tried "
        f"again more than {tries} times, the engine {engine_tries} (3 are too many elsewhere); then each job in the "
        "table once, no bad checksum"
    )


def a_stack_with_its_own_server(loaded: LoadedStack, data_dir: Path, cluster: Path) -> EmbeddedPostgres:
    """Durable jobs over an embedded server. The disk will cause far more ends than its restart policy forgives."""
    stack = loaded.stack
    stack.restart = RestartPolicy(first_delay_s=0.02, longest_delay_s=0.2, max_failures=3)
    loaded.replace_settings(data_dir=data_dir, database_url=None, engine_stall_limit_s=600.0, compute_workers=1)
    server = embedded_postgres(stack.settings)
    data_dir.mkdir(mode=0o711)
    subprocess.run(["cp", "-a", cluster, server.data_dir], check=True, timeout=LONGEST_S)
    stack.setup = tuple(python_module("gaia.validator.db.setup", "--settings-on-stdin"))
    stack.engine = tuple(python_module("tests.support.durable_engine", "--socket", str(stack.settings.engine_socket)))
    return server


async def put_jobs(dsn: str, ledger: Ledger, names: Sequence[str]) -> None:
    """Units that take a while, as durable jobs."""
    database = await DatabasePool.connect(dsn, min_size=1, max_size=2, connect_timeout_s=10, command_timeout_s=10)
    try:
        async with database.acquire() as conn:
            await conn.execute("CREATE TABLE applied (name text NOT NULL, engine int NOT NULL)")
        queue = PostgresQueue(database, owner="test", lease=LEASE)
        payload = {"ledger": str(ledger.folder), **PAUSE}
        await queue.put(*(NewJob(kind=KIND, key=name, payload={**payload, "name": name}) for name in names))
    finally:
        await database.close()


async def exhaust_the_log_of(dsn: str) -> None:
    """Have the server ask for new segments of its log until there is no room for one, which ends it."""
    with contextlib.suppress(asyncpg.PostgresError, OSError):
        connection = await asyncpg.connect(dsn, timeout=10)
        try:
            while True:
                await connection.execute("SELECT pg_logical_emit_message(false, 'fault', 'x')", timeout=10)
                await connection.execute("SELECT pg_switch_wal()", timeout=10)
        finally:
            connection.terminate()


async def applied_once_all_are(dsn: str, count: int) -> Mapping[str, int]:
    """How often each job took effect, once so many different ones did."""
    async with asyncio.timeout(LONGEST_S):
        while True:
            with contextlib.suppress(asyncpg.PostgresError, OSError):  # not up yet
                connection = await asyncpg.connect(dsn, timeout=10)
                rows = await connection.fetch("SELECT name, count(*) AS times FROM applied GROUP BY name", timeout=10)
                await connection.close(timeout=10)
                if len(rows) == count:
                    return {row["name"]: row["times"] for row in rows}
            await asyncio.sleep(0.05)


def checked_pages_of(cluster: Path) -> str:
    """What PostgreSQL's own checker finds in a cluster at rest."""
    program = find_binaries().bin_dir / "pg_checksums"
    done = subprocess.run([program, "--check", "-D", cluster], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def starts_of(stack: Stack, role: str) -> int:
    return sum(event["role"] == role for event in stack.events("child_started"))


def limited(soft: int, hard: int) -> list[str]:
    """Runs a command with so many open files allowed."""
    return ["sh", "-c", f'ulimit -S -n {soft} && ulimit -H -n {hard} && exec "$@"', "limited"]


@pytest.mark.fault(
    MACHINE, "no more open files allowed than are needed", must="12 workers and their engine work within it"
)
def test_a_low_limit_on_open_files(loaded: LoadedStack, full: bool) -> None:
    # Each worker costs the engine three descriptors (its stream, its end, its memory) and the supervisor two.
    workers = 12 if full else 3
    stack = loaded.stack
    loaded.replace_settings(compute_workers=workers)
    needed = files_needed(stack.settings)
    loaded.witness.strike()
    loaded.start(through=limited(needed, needed))
    names = loaded.give(200 if full else 60)
    until(lambda: loaded.finished(names) == len(names), "all units are done", 120.0)
    loaded.serves_again()
    loaded.account()
    most = max(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in (stack.pid, *loaded.family()))
    assert most <= needed - stack.settings.engine_files  # this engine has neither database nor miners
    assert open_files_allowed(stack.pid_of("io_engine")) == needed
    loaded.witness.saw(f"{workers} workers, {len(names)} units: each done once; at most {most} files open in a process")


@pytest.mark.fault(MACHINE, "64 open files allowed, more to be had, more needed", must="raises its own limit as needed")
def test_a_soft_limit_on_open_files(loaded: LoadedStack) -> None:
    stack = loaded.stack
    loaded.replace_settings(miner_concurrency=128)
    loaded.witness.strike()
    loaded.start(through=limited(64, 1024))
    loaded.serves_again()
    loaded.account()
    allowed = open_files_allowed(stack.pid_of("io_engine"))
    assert allowed == open_files_allowed(stack.pid) == files_needed(stack.settings) > 300
    loaded.witness.saw(f"{allowed} allowed to supervisor and engine, as these settings need")


@pytest.mark.fault(MACHINE, "64 open files allowed for good, more needed", must="refused at the start in one line")
def test_a_hard_limit_on_open_files(loaded: LoadedStack) -> None:
    loaded.witness.strike()
    loaded.start(through=limited(64, 64))
    status = loaded.stack.exit_status()
    loaded.witness.recover()
    needed = files_needed(loaded.stack.settings)
    (line,) = lines_of(loaded.stack.log_path)
    assert status == 2
    assert "a process may have 64 files open here" in line
    assert f"'ulimit -n {needed}', or LimitNOFILE={needed}" in line
    assert "GAIA_MINER_CONCURRENCY" in line
    loaded.witness.saw(f"exit status {status}; one line names 64, the {needed} needed, how to raise or to need less")


def open_files_allowed(pid: int) -> int:
    return resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]


_SHIFTED_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long shift(void) {
    return access(getenv("SHIFT_FILE"), F_OK) == 0 ? -3600 : 0;
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(clock, now);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) now->tv_sec += shift();
    return status;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    static int (*real)(struct timeval *restrict, void *restrict);
    if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
    int status = real(now, zone);
    now->tv_sec += shift();
    return status;
}
time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
"""


@pytest.fixture
def shifted_clock(tmp_path: Path) -> Path:
    """A library to be preloaded: it sets the wall clock an hour back once SHIFT_FILE exists. Monotonic time is true."""
    compiler = needed_tool("cc")
    source, library = tmp_path / "clock.c", tmp_path / "clock.so"
    source.write_text(_SHIFTED_CLOCK, encoding="ascii")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=60)
    return library


@pytest.mark.fault(
    MACHINE, "wall clock stepped an hour back", must="deadlines and restarts follow monotonic time: as before"
)
def test_a_clock_that_goes_back(loaded: LoadedStack, shifted_clock: Path, tmp_path: Path) -> None:
    stack, shift = loaded.stack, tmp_path / "shift"
    loaded.start(environment={"LD_PRELOAD": str(shifted_clock), "SHIFT_FILE": str(shift)})
    stack.wait_ready()
    stack.do("before", "wall_clock")
    names = loaded.give(60, **PAUSE)
    until(lambda: loaded.finished(names) >= 5, "units flow")
    before = stack.result("before").value
    shift.touch()
    loaded.witness.strike()  # strikes no unit: all must run once
    stack.do("after", "wall_clock")
    after = stack.result("after").value
    assert before is not None
    assert after is not None
    assert -3601 < after["time_s"] - before["time_s"] < -3500  # the processes do see the step
    worker = stack.pid_of("compute_worker")
    loaded.account()
    os.kill(worker, signal.SIGKILL)
    loaded.serves_again()
    until(lambda: stack.pid_of("compute_worker") != worker, "the worker is started again")
    os.kill(stack.pid, signal.SIGTERM)
    assert stack.exit_status() == 0
    assert stack.events("child_killed") == []
    loaded.witness.saw(
        f"the processes saw {after['time_s'] - before['time_s']:.0f} s; {len(names)} units in flight undisturbed, each "
        "begun once; a worker killed after it came back; orderly stop"
    )
