"""Instruments: throughput, latency, loop lag, memory of processes. No verdicts."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from benchmarks.backbone.contenders import ECHO_PROGRAM, FRAME, Do

_LAG_EVERY_NS: Final = 5_000_000
_TFD_NONBLOCK: Final = os.O_NONBLOCK
_TFD_TIMER_ABSTIME: Final = 1
_CLOCK_MONOTONIC: Final = 1


class Spoilt(Exception):
    """What was to be measured did not happen."""


def insist(holds: bool, what: str) -> None:
    """Raise Spoilt unless it holds."""
    if not holds:
        raise Spoilt(what)


class Burst(Struct, frozen=True, kw_only=True):
    """A saturated run."""

    units_per_s: float
    engine_cpu_us: float
    """Processor time of this process for each unit, its threads included."""
    lags_ms: list[float]


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("it_interval", _Timespec), ("it_value", _Timespec))


@asynccontextmanager
async def loop_lags() -> AsyncIterator[list[float]]:
    """Collects, in ms, how late the loop handles a kernel timer of 5 ms.

    A timerfd, because the loop's own timers are rounded to whole milliseconds.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    loop = asyncio.get_running_loop()
    descriptor = libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK)
    due_ns = time.monotonic_ns() + _LAG_EVERY_NS
    spec = _Itimerspec(_Timespec(0, _LAG_EVERY_NS), _Timespec(*divmod(due_ns, 1_000_000_000)))
    libc.timerfd_settime(descriptor, _TFD_TIMER_ABSTIME, ctypes.byref(spec), None)
    lags: list[float] = []

    def fired() -> None:
        nonlocal due_ns
        late_ns = time.monotonic_ns() - due_ns
        expirations = int.from_bytes(os.read(descriptor, 8), sys.byteorder)
        lags.append(late_ns / 1e6)  # of the first that was missed: the worst
        due_ns += expirations * _LAG_EVERY_NS

    loop.add_reader(descriptor, fired)
    try:
        yield lags
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def saturate(do: Do, units: int, submitters: int) -> Burst:
    """So many units by so many callers, each of whom submits its next when its last is back."""
    left = iter(range(units))

    async def caller() -> None:
        for _ in left:
            await do()

    async with loop_lags() as lags:
        cpu_s, started = time.process_time(), time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(submitters)))
        took_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_s
    return Burst(units_per_s=units / took_s, engine_cpu_us=cpu_s / units * 1e6, lags_ms=lags)


async def one_by_one(do: Do, units: int) -> list[float]:
    """Microseconds from submission to result, one unit at a time."""
    times_us = []
    for _ in range(units):
        started = time.perf_counter()
        await do()
        times_us.append((time.perf_counter() - started) * 1e6)
    return times_us


@contextmanager
def apart() -> Iterator[None]:
    """This process on one core, all whom it has started on the others: wherever the scheduler had put them, each way
    between them wakes another core. Where there is one core only, nothing changes.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        _place({cores[0]}, set(cores[1:]))
    try:
        yield
    finally:
        _place(set(cores), set(cores))


def _place(ours: set[int], theirs: set[int]) -> None:
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setaffinity(int(thread.name), ours)
    for pid in _descendants(os.getpid()):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(pid, theirs)


def _descendants(pid: int) -> set[int]:
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    found, generation = set[int](), {pid}
    while generation := {child for child, parent in parents.items() if parent in generation}:
        found |= generation
    return found


def blocking_echo(rounds: int) -> list[float]:
    """Microseconds of a 1 KB echo between two processes with no event loop: what the kernel charges."""
    ours, theirs = socket.socketpair()
    with subprocess.Popen(
        [sys.executable, "-S", "-c", ECHO_PROGRAM, str(theirs.fileno()), str(len(FRAME))], pass_fds=[theirs.fileno()]
    ):
        theirs.close()
        times_us = []
        for _ in range(rounds + 100):
            started = time.perf_counter()
            ours.sendall(FRAME)
            ours.recv(len(FRAME), socket.MSG_WAITALL)
            times_us.append((time.perf_counter() - started) * 1e6)
        ours.close()
    return times_us[100:]  # the first ones wait for the other process to start


def percentile(values: Sequence[float], percent: float) -> float:
    """By rank; 0 without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def unique_bytes(pid: int) -> int:
    """Memory that would come free if this process ended: private pages (proc_pid_smaps_rollup(5))."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))
