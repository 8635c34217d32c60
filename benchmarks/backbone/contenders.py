"""The pools that are compared, each behind the same two words: `do` one unit, from a running event loop.

All are used as an engine on asyncio would use them. A raw echo, which has no queue, no errors and no deadlines,
is the bound.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

import loky
import msgspec
import pebble

from benchmarks.backbone.units import KILOBYTE, REGISTRY, echo
from gaia.contracts.unit import WorkUnit
from gaia.validator.app.compute.compute_pool import ComputePool
from gaia.validator.app.compute.local_workers import LocalWorkers
from gaia.validator.app.compute.pool_settings import PoolSettings
from gaia.validator.app.compute.worker_launch import WorkerLaunch

_LENGTH: Final = struct.Struct("<I")

Do = Callable[[], Any]
"""Returns an awaitable: one no-op unit of 1 KB, there and back."""


@asynccontextmanager
async def gaia_pool(
    workers: int, settings: PoolSettings | None = None, *, spares: int = 0
) -> AsyncIterator[tuple[ComputePool, LocalWorkers]]:
    """Ours, its workers and spares ready."""
    with tempfile.TemporaryDirectory(prefix="gaia-bench-") as folder:
        path = Path(folder) / "compute.sock"
        settings = settings or PoolSettings()
        if spares:
            settings = msgspec.structs.replace(settings, compute_workers=workers)
        pool = ComputePool(socket_path=path, settings=settings)
        await pool.start()
        launch = WorkerLaunch(
            socket_path=path,
            cache_dir=Path(folder),
            registry=REGISTRY,
            worker_hard_memory_bytes=settings.worker_hard_memory_bytes,
        )
        try:
            async with LocalWorkers(workers + spares, launch) as local:
                while pool.statistics().workers < workers + spares:  # noqa: ASYNC110  the pool tells nobody
                    await asyncio.sleep(0.005)
                yield pool, local
                await pool.drain(0.0)
        finally:
            await pool.close()


@asynccontextmanager
async def gaia(workers: int) -> AsyncIterator[Do]:
    """This validator's backbone."""
    async with gaia_pool(workers) as (pool, _):

        async def do() -> None:
            result = await pool.run(WorkUnit(handler="echo", payload=KILOBYTE))
            if result.error is not None:
                raise RuntimeError(result.error.message)

        yield do


@asynccontextmanager
async def process_pool_executor(workers: int) -> AsyncIterator[Do]:
    """The standard library's, spawned."""
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield lambda: loop.run_in_executor(pool, echo, KILOBYTE)


@asynccontextmanager
async def pebble_pool(workers: int) -> AsyncIterator[Do]:
    """pebble: has timeouts and cancellation of running units."""
    pool = pebble.ProcessPool(max_workers=workers, context=multiprocessing.get_context("spawn"))
    try:
        yield lambda: asyncio.wrap_future(pool.schedule(echo, args=(KILOBYTE,)))
    finally:
        pool.stop()  # type: ignore[no-untyped-call]
        pool.join()


@asynccontextmanager
async def loky_pool(workers: int) -> AsyncIterator[Do]:
    """loky: replaces a broken pool."""
    pool = loky.get_reusable_executor(max_workers=workers, timeout=None, reuse=False)
    try:
        yield lambda: asyncio.wrap_future(pool.submit(echo, KILOBYTE))
    finally:
        pool.shutdown(kill_workers=True)


@asynccontextmanager
async def queues_and_thread(workers: int) -> AsyncIterator[Do]:
    """Two multiprocessing.Queue and a thread that waits for results."""
    context = multiprocessing.get_context("spawn")
    tasks: Any = context.Queue()
    results: Any = context.Queue()
    processes = [context.Process(target=_serve_queue, args=(tasks, results), daemon=True) for _ in range(workers)]
    for process in processes:
        process.start()
    loop = asyncio.get_running_loop()
    waiting: dict[int, asyncio.Future[Any]] = {}

    def settle(key: int, value: Any) -> None:
        waiting.pop(key).set_result(value)

    def collect() -> None:
        while (answer := results.get()) is not None:
            loop.call_soon_threadsafe(settle, *answer)

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    keys = iter(range(1 << 60))

    def do() -> asyncio.Future[Any]:
        key = next(keys)
        future = waiting[key] = loop.create_future()
        tasks.put((key, KILOBYTE))
        return future

    try:
        yield do
    finally:
        for _ in processes:
            tasks.put(None)
        results.put(None)
        for process in processes:
            process.join(5)
        thread.join(5)


def _serve_queue(tasks: Any, results: Any) -> None:
    while (task := tasks.get()) is not None:
        key, payload = task
        results.put((key, echo(payload)))


class _Echo(asyncio.Protocol):
    """One echo partner: sends a block, completes a future when it is back."""

    def __init__(self) -> None:
        self.back: asyncio.Future[None] | None = None
        self._size_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._size_bytes += len(data)
        if self._size_bytes >= len(FRAME) and self.back is not None:
            self._size_bytes = 0
            self.back.set_result(None)


FRAME: Final = _LENGTH.pack(len(KILOBYTE["block"])) + KILOBYTE["block"]


@asynccontextmanager
async def raw_echo(workers: int) -> AsyncIterator[Do]:
    """The bound: 1 KB through a socketpair, echoed by another process; no queue, no errors, no deadline."""
    loop = asyncio.get_running_loop()
    idle: asyncio.LifoQueue[_Echo] = asyncio.LifoQueue()
    processes = []
    for _ in range(workers):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        processes.append(
            subprocess.Popen(  # noqa: ASYNC220  before anything is measured
                [sys.executable, "-S", "-c", ECHO_PROGRAM, str(theirs.fileno()), str(len(FRAME))],
                pass_fds=[theirs.fileno()],
            )
        )
        theirs.close()
        idle.put_nowait((await loop.create_connection(_Echo, sock=ours))[1])

    async def do() -> None:
        partner = await idle.get()
        partner.back = loop.create_future()
        partner.transport.write(FRAME)
        await partner.back
        idle.put_nowait(partner)

    try:
        yield do
    finally:
        for partner in (idle.get_nowait() for _ in range(workers)):
            partner.transport.abort()
        for process in processes:
            await asyncio.to_thread(process.wait, 5)  # the loop has to go on: it closes our ends


ECHO_PROGRAM: Final = """
import socket, sys
connected, size = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
while True:
    block = connected.recv(size, socket.MSG_WAITALL)
    if not block:
        break
    connected.sendall(block)
"""

CONTENDERS: Final[Mapping[str, Callable[[int], AbstractAsyncContextManager[Do]]]] = {
    "raw echo through uvloop (bound)": raw_echo,
    "**gaia**": gaia,
    "multiprocessing.Queue and a thread": queues_and_thread,
    "ProcessPoolExecutor (spawn)": process_pool_executor,
    "pebble": pebble_pool,
    "loky": loky_pool,
}
