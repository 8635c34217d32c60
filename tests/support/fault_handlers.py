"""One handler that leaves a stamp in the ledger and then does something terrible, and the terrible things themselves.

A registry of its own: `stamp` with `act` (a handler of compute_handlers or of here) and `times` (only the first so many
runs are terrible).
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import stat
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from gaia.validator.utils.ipc_types import Result
from tests.support import compute_handlers
from tests.support.fault_report import Ledger

Payload = Mapping[str, Any]

_HERE = "tests.support.fault_handlers"


def stamp(payload: Payload) -> Payload:
    """Note that this run begins; then, in the first `times` runs, do `act` with `given`."""
    earlier = Ledger(Path(payload["ledger"])).stamp(payload["name"])
    if earlier < payload.get("times", 1_000) and (act := payload.get("act")) is not None:
        module, _, name = HANDLERS[act].partition(":")
        done: Payload = getattr(importlib.import_module(module), name)(payload.get("given", {}))
        return {"name": payload["name"], "pid": os.getpid(), **done}
    return {"name": payload["name"], "pid": os.getpid()}


class Unloadable(Exception):
    """Pickles, but unpickling calls it without its two arguments."""

    def __init__(self, left: str, right: str) -> None:
        super().__init__(f"{left} and {right}")


def raise_unloadable(_: Payload) -> Payload:
    """An exception that would break whoever unpickles it."""
    raise Unloadable("one", "other")


def abort(_: Payload) -> Payload:
    """SIGABRT, as a C++ library ends that cannot allocate."""
    os.abort()


def compile_without_memory(payload: Payload) -> Payload:
    """Import and use numba with next to no memory left: LLVM aborts, or somebody raises."""
    hoard = []
    block_bytes = payload["block_bytes"]
    try:
        while True:
            hoard.append(bytearray(block_bytes))
    except MemoryError:
        hoard.pop()
    import numba

    double = numba.njit(lambda number: 2.0 * number)
    return {"number": double(21.0)}


def multiply_without_memory(payload: Payload) -> Payload:
    """BLAS with next to no memory left: its buffers cannot be had."""
    import numpy as np

    square = np.ones((64, 64))
    hoard = []
    try:
        while True:
            hoard.append(bytearray(payload["block_bytes"]))
    except MemoryError:
        hoard.pop()
    return {"number": float((square @ square)[0, 0])}


def compile_and_cache(_: Payload) -> Payload:
    """A numba kernel that wants to be kept on disk."""
    from tests.support.numba_kernel import double

    return {"number": float(double(21.0))}


def fork_and_die(payload: Payload) -> Payload:
    """Leave a child behind that holds the channel open, note its pid and how often it holds it, and die."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(theirs, bytes([len(list(_channels()))]))
        time.sleep(600)
        os._exit(0)
    (held,) = os.read(ours, 1)
    Path(payload["stray"]).write_text(f"{child}\n{held}\n", encoding="ascii")
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def answer_for_an_older_attempt(payload: Payload) -> Payload:
    """Send a result of the attempt before, as if it came late; then return the true one."""
    late = Result(payload["unit_id"], payload["attempt"], 0.0, {"late": True}, None)
    body = msgspec.msgpack.encode(late)
    for channel in _channels():
        os.write(channel, struct.pack("<I", len(body)) + body)
    return {"late": False}


def ignore_sigterm(payload: Payload) -> Payload:
    """Shut the ears and stay."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(payload["began"]).write_text(str(os.getpid()), encoding="ascii")
    time.sleep(600)
    return {}


def leap(payload: Payload) -> Payload:
    """Take memory as fast as the machine gives it, one letter in a file for each step taken; until killed."""
    hoard = []
    with Path(payload["height"]).open("ab", buffering=0) as height:
        while True:
            hoard.append(bytearray(b"\x01") * payload["step_bytes"])
            height.write(b"x")


def fill_disk(payload: Payload) -> Payload:
    """Write until the disk is full."""
    with Path(payload["path"]).open("wb") as file:
        while True:
            file.write(bytes(1 << 16))


def wall_clock(_: Payload) -> Payload:
    """What time this process believes it is."""
    return {"time_s": time.time()}


def _channels() -> Iterator[int]:
    """The worker's stream sockets: its connection to the engine."""
    for descriptor in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                kind = socket.socket(fileno=os.dup(descriptor))
                with kind:
                    if kind.type == socket.SOCK_STREAM:
                        yield descriptor
        except OSError:
            continue


HANDLERS: Mapping[str, str] = MappingProxyType(
    {
        **compute_handlers.HANDLERS,
        **{
            function.__name__: f"{_HERE}:{function.__name__}"
            for function in (
                *(stamp, raise_unloadable, abort, compile_without_memory, multiply_without_memory, compile_and_cache),
                *(fork_and_die, answer_for_an_older_attempt, ignore_sigterm, leap, fill_disk, wall_clock),
            )
        },
    }
)
FAULT_REGISTRY = f"{_HERE}:HANDLERS"
