"""Handlers that behave well, badly and worse, for tests of the process backbone. Named by their own
registry.
"""

from __future__ import annotations

import ctypes
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gaia.contracts.errors import MinerFault, SourceFault
from gaia.contracts.progress import report_progress

Payload = Mapping[str, Any]

_HERE = "tests.support.compute_handlers"


class ForecastCropped(MinerFault):
    """An error as a task would define it."""


class NotYet(SourceFault):
    """A retryable one."""

    retryable = True


class Unpicklable(Exception):
    """Cannot be pickled: it holds a lock."""

    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


def echo(payload: Payload) -> Payload:
    """What it was given."""
    return payload


def pause(payload: Payload) -> Payload:
    """What it was given, after a while."""
    time.sleep(payload["pause_s"])
    return payload


def environment(payload: Payload) -> Payload:
    """Variables by name, and what kind of process this is."""
    return {
        "variables": {name: os.environ.get(name) for name in payload["names"]},
        "oom_score_adj": Path("/proc/self/oom_score_adj").read_text(encoding="ascii").strip(),
        "modules": sorted(sys.modules),
        "pid": os.getpid(),
    }


def record(payload: Payload) -> Payload:
    """Append a line to a file: how often it ran can be counted afterwards."""
    with Path(payload["path"]).open("a", encoding="ascii") as lines:
        lines.write(f"{payload['name']}\n")
    return {"pid": os.getpid()}


def wait_for_file(payload: Payload) -> Payload:
    """Say that it has begun, then wait until a file exists."""
    began = Path(payload["began"])
    with began.open("a", encoding="ascii") as lines:
        lines.write(f"{os.getpid()}\n")
    while not Path(payload["until"]).exists():
        time.sleep(0.005)
    return {"pid": os.getpid()}


def report_then_wait(payload: Payload) -> Payload:
    """Report once, then wait until a file exists."""
    report_progress(payload["fraction"], payload["note"])
    return wait_for_file(payload)


def report_often(payload: Payload) -> Payload:
    """Report so many times, as fast as it goes."""
    for number in range(payload["times"]):
        report_progress(number / payload["times"])
    return {}


def raise_miner_fault(_: Payload) -> Payload:
    """A miner's fault."""
    raise ForecastCropped("41 leads of 40")


def raise_source_fault(_: Payload) -> Payload:
    """A retryable fault of a source."""
    raise NotYet("ERA5 of tomorrow")


def raise_plain(_: Payload) -> Payload:
    """A bug."""
    return {"ratio": 1 / 0}


def raise_unpicklable(_: Payload) -> Payload:
    """An exception that no pickle could carry."""
    raise Unpicklable


def exit_cleanly(_: Payload) -> Payload:
    """sys.exit in a handler."""
    sys.exit(0)


def vanish(_: Payload) -> Payload:
    """The process ends with status 0 in the middle of its unit."""
    os._exit(0)


def die(_: Payload) -> Payload:
    """SIGKILL to itself."""
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def die_until(payload: Payload) -> Payload:
    """Die, but for the attempt that finds `lives` lines in a file."""
    path = Path(payload["path"])
    with path.open("a", encoding="ascii") as lines:
        lines.write("x\n")
    if len(path.read_text(encoding="ascii").splitlines()) < payload["lives"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"pid": os.getpid()}


def segfault(_: Payload) -> Payload:
    """Read from the null page."""
    return {"text": ctypes.string_at(0).decode()}


def hold_interpreter(_: Payload) -> Payload:
    """Never return, never release the interpreter lock (PyDLL keeps it)."""
    ctypes.PyDLL(None).pause()
    return {}


def hold_interpreter_busy(_: Payload) -> Payload:
    """Spin without end and without a Python signal handler ever running."""
    sys.setswitchinterval(1e9)
    while True:
        pass


def allocate(payload: Payload) -> Payload:
    """Take memory and keep it until the file appears."""
    block = bytearray(payload["bytes"])
    for index in range(0, len(block), 4096):
        block[index] = 1
    until = payload.get("until")
    while until is not None and not Path(until).exists():
        time.sleep(0.005)
    return {"taken": len(block)}


_kept: list[bytearray] = []


def leak(payload: Payload) -> Payload:
    """Take memory and never give it back."""
    block = bytearray(payload["bytes"])
    for index in range(0, len(block), 4096):
        block[index] = 1
    _kept.append(block)
    return {"pid": os.getpid()}


def return_object(_: Payload) -> Any:
    """A value that MessagePack does not know."""
    return {"object": object()}


def return_number(_: Payload) -> Any:
    """Not a mapping."""
    return 7


def return_odd_keys(_: Payload) -> Any:
    """A mapping whose keys are not text."""
    return {7: "seven"}


def return_bytes(payload: Payload) -> Payload:
    """So many zero bytes."""
    return {"bytes": bytes(payload["bytes"])}


def print_much(_: Payload) -> Payload:
    """Write to stdout by every road."""
    print("printed by a handler", flush=True)
    os.write(1, b"\x00\x00\x00\x00written by a handler\n")
    return {"printed": True}


def write_rubbish(_: Payload) -> Payload:
    """Write into the channel itself."""
    for descriptor in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                os.write(descriptor, b"\xff" * 64)
        except OSError:
            continue
    return {}


def close_channel(payload: Payload) -> Payload:
    """Close every socket and live on, having said so."""
    Path(payload["began"]).write_text(str(os.getpid()), encoding="ascii")
    for descriptor in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                os.close(descriptor)
        except OSError:
            continue
    time.sleep(600)
    return {}


HANDLERS: Mapping[str, str] = MappingProxyType(
    {
        **{
            function.__name__: f"{_HERE}:{function.__name__}"
            for function in (
                *(
                    echo,
                    pause,
                    environment,
                    record,
                    wait_for_file,
                    report_then_wait,
                    report_often,
                    raise_miner_fault,
                    raise_source_fault,
                    raise_plain,
                ),
                *(raise_unpicklable, exit_cleanly, vanish, die, die_until, segfault, hold_interpreter),
                *(hold_interpreter_busy, allocate, leak, return_object, return_number, return_odd_keys),
                *(return_bytes, print_much, write_rubbish, close_channel),
            )
        },
        "import_fails": "tests.support.no_such_module:handler",
        "attribute_missing": f"{_HERE}:no_such_function",
    }
)
