"""A compute worker: `python -m gaia.validator.app.compute_worker --socket PATH --slot N --ppid P`.

Dials the IO-Engine and does one unit at a time, until it is told to leave, is killed, or its parent dies.
When the engine goes, it waits for the next one. No network, no database, no metrics, no asyncio: it must
start fast and stay small. Whatever a handler prints goes to stderr; whatever it raises goes back as data.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import os
import resource
import signal
import socket
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Final

import msgspec
from msgspec import Struct

from gaia.contracts.errors import GaiaError
from gaia.contracts.parent_death import die_with_parent
from gaia.contracts.progress import Progress, progress_to
from gaia.contracts.unit import ResultUnit, UnitError, WorkUnit
from gaia.validator.app.handler_registry import DEFAULT_REGISTRY, HandlerRegistry
from gaia.validator.app.ipc import BlockingChannel, encode_frame
from gaia.validator.app.unit_errors import ResultUnserialisable, unit_error
from gaia.validator.utils.ipc_types import Dispatch, FromEngine, Hello, Leaving, Prepare, Progressed, Result, Retire

_FIRST_REDIAL_S: Final = 0.02
_LONGEST_REDIAL_S: Final = 0.5
_BACKSTOP_GRACE_S: Final = 5.0
"""The engine kills a late worker at its deadline; so much later the kernel does, should there be no engine.
"""
_PROGRESS_EVERY_S: Final = 0.1
"""A handler may report as often as it likes; so often at most does the engine hear of it."""
_LONGEST_TIMER_S: Final = 30 * 86400.0
_OOM_SCORE: Final = 800
"""Of 1000: when the machine runs out of memory, workers go before engine and database, for they can be
replaced.
"""


class WorkerOptions(Struct, frozen=True, kw_only=True):
    """What a worker is started with."""

    socket: Path
    slot: int
    ppid: int
    registry: str = DEFAULT_REGISTRY
    status_fd: int | None = None
    """Gets one byte once the worker has said hello, for whoever watches starts."""
    data_limit_bytes: int | None = None
    """RLIMIT_DATA: an allocation past it fails inside the handler."""


class ComputeWorker:
    """The life of one worker."""

    def __init__(self, options: WorkerOptions) -> None:
        self._options = options
        self._registry = HandlerRegistry(options.registry)
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[FromEngine] = msgspec.msgpack.Decoder(FromEngine)
        self._channel: BlockingChannel | None = None
        self._asked_to_leave = False
        self._announced = False
        self._busy = False
        self._unit: Dispatch | None = None
        self._reported_at = 0.0

    def run(self) -> None:
        """Serve one engine after the other; returns when told to leave."""
        signal.signal(signal.SIGTERM, self._on_terminate)
        with progress_to(self._report):
            while not self._asked_to_leave:
                connected = self._dial()
                if connected is None or self._serve_until_gone(BlockingChannel(connected)):
                    return

    def _serve_until_gone(self, channel: BlockingChannel) -> bool:
        """Do what one engine wants; True when told to leave."""
        try:
            return self._serve(channel)
        except OSError:
            return False  # the engine died while we wrote to it: its units are its successor's to give again
        finally:
            self._channel = None
            channel.close()

    def _dial(self) -> socket.socket | None:
        """Connect, however long it takes for an engine to listen; None if asked to leave meanwhile."""
        delay_s = _FIRST_REDIAL_S
        while not self._asked_to_leave:
            attempt = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                attempt.connect(str(self._options.socket))
            except OSError:
                attempt.close()
                time.sleep(delay_s)
                delay_s = min(2 * delay_s, _LONGEST_REDIAL_S)
            else:
                return attempt
        return None

    def _serve(self, channel: BlockingChannel) -> bool:
        """Do what comes; True when told to leave, False when the engine has gone."""
        self._send(channel, Hello(slot=self._options.slot))
        self._tell_spawner()
        self._channel, self._announced, self._busy = channel, False, False
        self._announce_if_leaving()
        while (body := channel.receive()) is not None:
            message = self._decoder.decode(body)
            if isinstance(message, Retire):
                return True
            self._busy = True  # a signal must not put a frame into the middle of the result's
            if isinstance(message, Prepare):
                self._prepare(message)
            else:
                channel.send(self._do(message))
            self._busy = False
            self._announce_if_leaving()
        return self._asked_to_leave

    def _do(self, dispatch: Dispatch) -> bytearray:
        """The frame of the unit's result, which is an error if the handler fails or its value cannot be
        sent.
        """
        unit = dispatch.unit
        self._unit = dispatch
        started = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, min(unit.timeout_s + _BACKSTOP_GRACE_S, _LONGEST_TIMER_S))
        try:
            value = self._registry.handler(unit.handler)(unit.payload)
            return self._frame(dispatch, started, value=_checked(unit, value))
        except (Exception, SystemExit) as error:  # noqa: BLE001  the boundary: a handler's failure is its unit's
            if isinstance(error, MemoryError):
                traceback.clear_frames(error.__traceback__)  # room to say so: the handler's variables go now
            return self._frame(dispatch, started, error=unit_error(error, with_traceback=True))
        finally:
            self._unit = None
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def _prepare(self, prepare: Prepare) -> None:
        """Import handlers while nothing is to do. One that cannot be imported says so to its first unit."""
        for name in prepare.handlers:
            with contextlib.suppress(GaiaError):
                self._registry.handler(name)

    def _report(self, progress: Progress) -> None:
        """The handler has come so far."""
        now = time.monotonic()
        if self._unit is None or self._channel is None or now - self._reported_at < _PROGRESS_EVERY_S:
            return
        self._reported_at = now
        message = Progressed(unit_id=self._unit.unit.unit_id, attempt=self._unit.attempt, progress=progress)
        with contextlib.suppress(OSError):  # the engine has gone: the result will find out
            self._send(self._channel, message)

    def _frame(
        self,
        dispatch: Dispatch,
        started: float,
        *,
        value: Mapping[str, Any] | None = None,
        error: UnitError | None = None,
    ) -> bytearray:
        result = ResultUnit(
            unit_id=dispatch.unit.unit_id,
            handler=dispatch.unit.handler,
            value=value,
            error=error,
            attempt=dispatch.attempt,
            duration_s=time.perf_counter() - started,
            worker_slot=self._options.slot,
        )
        try:
            return encode_frame(self._encoder, Result(result=result))
        except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as unfit:
            raise ResultUnserialisable(f"the result of {dispatch.unit.handler} cannot be sent: {unfit}") from unfit

    def _send(self, channel: BlockingChannel, message: Any) -> None:
        channel.send(encode_frame(self._encoder, message))

    def _tell_spawner(self) -> None:
        if self._options.status_fd is not None:
            with contextlib.suppress(OSError):  # nobody listens any more, or it has been said before
                os.write(self._options.status_fd, b"\x01")

    def _announce_if_leaving(self) -> None:
        """Ask the engine to let us go. A unit that is already on its way is still done: `Retire` comes after
        it.
        """
        if self._asked_to_leave and not self._announced and not self._busy and self._channel is not None:
            self._announced = True
            self._send(self._channel, Leaving())

    def _on_terminate(self, _signal: int, _frame: FrameType | None) -> None:
        self._asked_to_leave = True
        with contextlib.suppress(OSError):
            self._announce_if_leaving()


def _checked(unit: WorkUnit, value: object) -> Mapping[str, Any]:
    """A handler's value, if it is a mapping with text keys as handlers promise."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ResultUnserialisable(f"{unit.handler} returned {type(value).__name__}, not a mapping with text keys")
    return value


def contain(options: WorkerOptions) -> None:
    """Tie this process to its parent and to its bounds, before anything of a task is imported."""
    die_with_parent(options.ppid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # kills even a loop that holds the interpreter
    faulthandler.enable()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what handlers print
    with contextlib.suppress(OSError):  # not every container lets us; the bounds below hold all the same
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE), encoding="ascii")
    if options.data_limit_bytes is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (options.data_limit_bytes, options.data_limit_bytes))


def parse_options(arguments: Sequence[str]) -> WorkerOptions:
    """The options on a command line."""
    parser = argparse.ArgumentParser(prog="compute_worker", description="does units of work for the IO-Engine")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--slot", type=int, required=True)
    parser.add_argument("--ppid", type=int, required=True)
    parser.add_argument("--registry", default=DEFAULT_REGISTRY)
    parser.add_argument("--status-fd", type=int)
    parser.add_argument("--data-limit-bytes", type=int)
    return WorkerOptions(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    options = parse_options(sys.argv[1:])
    contain(options)
    ComputeWorker(options).run()
