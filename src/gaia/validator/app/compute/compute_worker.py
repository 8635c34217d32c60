"""A compute worker: `python -m gaia.validator.app.compute.compute_worker --socket PATH --slot N --ppid P`.

Connects to the IO-Engine and does one unit at a time, until it is told to leave, is killed, or its parent dies. If the
engine ends, the worker waits for the next one. It uses no network, database, metrics or asyncio, because it must start
fast and stay small. The output of a handler goes to stderr; its errors go back to the engine as data.
"""

from __future__ import annotations

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
from types import FrameType
from typing import Any, Final

import msgspec
from msgspec import Struct

from gaia.contracts.errors import ConfigurationError, GaiaError
from gaia.contracts.parent_death import die_with_parent
from gaia.contracts.progress import Progress, progress_to
from gaia.contracts.unit import UnitError
from gaia.validator.app.compute.handler_registry import HandlerRegistry
from gaia.validator.app.compute.ipc import BlockingChannel, Frame, encode_frame
from gaia.validator.app.compute.unit_errors import ResultUnserialisable, unit_error
from gaia.validator.utils.ipc_types import Dispatch, FromEngine, Hello, Leaving, Prepare, Progressed, Result, Retire

_FIRST_REDIAL_S: Final = 0.02
_LONGEST_REDIAL_S: Final = 0.5
_BACKSTOP_GRACE_S: Final = 5.0
"""The engine kills a late worker at its deadline. Without an engine, a timer kills it this much later."""
_PROGRESS_EVERY_S: Final = 0.1
"""The shortest time between two reports to the engine. A handler may report more often."""
_LONGEST_TIMER_S: Final = 30 * 86400.0
_REFUSED: Final = 2
"""The exit status that tells the parent that a new start cannot help."""
_OOM_SCORE: Final = 800
"""Of 1000. If the machine runs out of memory, the kernel kills workers before engine and database, because workers can
be replaced."""


class WorkerOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options with which a worker is started."""

    socket: str
    slot: int
    ppid: int
    registry: str
    status_fd: int | None = None
    """A descriptor that gets one byte when the worker has connected to the engine, so that its parent knows."""
    data_limit_bytes: int | None = None
    """RLIMIT_DATA. An allocation beyond it fails inside the handler."""


class ComputeWorker:
    """One worker, from its first connection to its end."""

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
        """Serve one engine after the other. Returns when told to leave."""
        signal.signal(signal.SIGTERM, self._on_terminate)
        with progress_to(self._report):
            while not self._asked_to_leave:
                connected = self._dial()
                if connected is None or self._serve_until_gone(BlockingChannel(connected)):
                    return

    def _serve_until_gone(self, channel: BlockingChannel) -> bool:
        """Do the units of one engine. Returns True when told to leave."""
        try:
            return self._serve(channel)
        except OSError:
            return False  # the engine died while we wrote to it; the next engine gives its units out again
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            self._channel = None
            channel.close()

    def _dial(self) -> socket.socket | None:
        """Connect, and wait as long as no engine listens. None if asked to leave in the meantime."""
        delay_s = _FIRST_REDIAL_S
        while not self._asked_to_leave:
            attempt = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                attempt.connect(self._options.socket)
            except OSError:
                attempt.close()
                time.sleep(delay_s)
                delay_s = min(2 * delay_s, _LONGEST_REDIAL_S)
            else:
                return attempt
        return None

    def _serve(self, channel: BlockingChannel) -> bool:
        """Handle the messages of an engine. Returns True when told to leave, False when the engine has ended."""
        self._send(channel, Hello(self._options.slot))
        self._tell_spawner()
        self._channel, self._announced, self._busy = channel, False, False
        self._announce_if_leaving()
        receive, decode = channel.receive, self._decoder.decode
        while (body := receive()) is not None:
            message = decode(body)
            if type(message) is Retire:
                return True
            self._busy = True  # so that a signal does not write a frame into the middle of the result
            if type(message) is Dispatch:
                channel.send(self._do(message))
                signal.setitimer(signal.ITIMER_REAL, 0.0)  # after the answer, because somebody waits for it
            elif type(message) is Prepare:
                self._prepare(message)
            self._busy = False
            if self._asked_to_leave:
                self._announce_if_leaving()
        return self._asked_to_leave

    def _do(self, dispatch: Dispatch) -> Frame:
        """Do a unit. Returns the frame of its result: an error if the handler fails or its value cannot be sent."""
        self._unit = dispatch
        started = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, min(dispatch.timeout_s + _BACKSTOP_GRACE_S, _LONGEST_TIMER_S))
        try:
            value = self._registry.handler(dispatch.handler)(dispatch.payload)
            return self._frame(dispatch, started, _checked(dispatch, value), None)
        except (Exception, SystemExit) as error:  # noqa: BLE001  the boundary: a failed handler fails its unit
            if isinstance(error, MemoryError):
                traceback.clear_frames(error.__traceback__)  # frees the handler's variables, to have room
            return self._frame(dispatch, started, None, unit_error(error, with_traceback=True))
        finally:
            self._unit = None

    def _prepare(self, prepare: Prepare) -> None:
        """Import handlers while there is no unit. If an import fails, the handler's first unit reports it."""
        for name in prepare.handlers:
            with contextlib.suppress(GaiaError):
                self._registry.handler(name)

    def _report(self, progress: Progress) -> None:
        """Send the handler's progress to the engine, unless the last report was a moment ago."""
        now = time.monotonic()
        if self._unit is None or self._channel is None or now - self._reported_at < _PROGRESS_EVERY_S:
            return
        self._reported_at = now
        message = Progressed(self._unit.unit_id, self._unit.attempt, progress)
        with contextlib.suppress(OSError):  # the engine has ended; sending the result will show that
            self._send(self._channel, message)

    def _frame(
        self, dispatch: Dispatch, started: float, value: Mapping[str, Any] | None, error: UnitError | None
    ) -> Frame:
        result = Result(dispatch.unit_id, dispatch.attempt, time.perf_counter() - started, value, error)
        try:
            return encode_frame(self._encoder, result)
        except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as unfit:
            raise ResultUnserialisable(f"the result of {dispatch.handler} cannot be sent: {unfit}") from unfit

    def _send(self, channel: BlockingChannel, message: Any) -> None:
        channel.send(encode_frame(self._encoder, message))

    def _tell_spawner(self) -> None:
        if self._options.status_fd is not None:
            with contextlib.suppress(OSError):  # nobody reads it any more
                os.write(self._options.status_fd, b"\x01")

    def _announce_if_leaving(self) -> None:
        """Ask the engine for leave. A unit that is already on its way is still done: `Retire` comes after it."""
        if self._asked_to_leave and not self._announced and not self._busy and self._channel is not None:
            self._announced = True
            self._send(self._channel, Leaving())

    def _on_terminate(self, _signal: int, _frame: FrameType | None) -> None:
        self._asked_to_leave = True
        with contextlib.suppress(OSError):
            self._announce_if_leaving()


def _checked(dispatch: Dispatch, value: object) -> Mapping[str, Any]:
    """The value of a handler, which must be a mapping with text keys. Raises ResultUnserialisable."""
    if type(value) is not dict and not isinstance(value, Mapping):  # the check of an abstract class is slow
        raise ResultUnserialisable(f"{dispatch.handler} returned {type(value).__name__}, not a mapping")
    for key in value:
        if not isinstance(key, str):
            raise ResultUnserialisable(f"{dispatch.handler} returned a mapping with the key {key!r}; keys must be text")
    return value


def contain(options: WorkerOptions) -> None:
    """Tie this process to its parent and set its limits, before any code of a task is imported."""
    die_with_parent(options.ppid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # kills even a loop that holds the interpreter
    faulthandler.enable()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # the output of handlers
    # Some containers forbid to write this file; the limit below still holds. Importing pathlib here would cost 5 ms.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:  # noqa: PTH123
        score.write(str(_OOM_SCORE))
    if options.data_limit_bytes is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (options.data_limit_bytes, options.data_limit_bytes))


def parse_options(arguments: Sequence[str]) -> WorkerOptions:
    """The options of a command line of pairs `--name value`. Raises ConfigurationError.

    Parsed by hand, because argparse would cost a tenth of a worker's start, and only our own code writes the options.
    """
    names, values = arguments[::2], arguments[1::2]
    try:
        pairs = zip(names, values, strict=True)
        named = {name.removeprefix("--").replace("-", "_"): value for name, value in pairs}
        return msgspec.convert(named, WorkerOptions, strict=False)
    except (ValueError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"compute_worker takes pairs of --name value: {error}") from error


def main(arguments: Sequence[str]) -> None:
    """Run a worker."""
    try:
        options = parse_options(arguments)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        sys.exit(_REFUSED)
    contain(options)
    ComputeWorker(options).run()
    # A worker may be killed at any time, so nothing depends on an orderly end. Shutting the interpreter down would take
    # a sixth of the time of a start.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
