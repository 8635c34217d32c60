"""A worker's side of the conversation, spoken to over a bare socket."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from gaia.contracts.errors import ConfigurationError
from gaia.validator.app.compute.compute_worker import ComputeWorker, WorkerOptions, parse_options
from gaia.validator.app.compute.ipc import BlockingChannel, encode_frame
from gaia.validator.app.processes.child import python_module
from gaia.validator.utils.ipc_types import Dispatch, FromEngine, FromWorker, Hello, Leaving, Result, Retire
from tests.support.pools import REGISTRY
from tests.support.waiting import is_running, lines_of, until

pytestmark = pytest.mark.processes

ENCODER = msgspec.msgpack.Encoder()


class BareEngine:
    """Listens, accepts one worker at a time, and speaks frame by frame."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "engine.sock"
        self._listener = self._listen()
        self._channel: BlockingChannel

    def _listen(self) -> socket.socket:
        self.path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen()
        listener.settimeout(30)
        return listener

    def accept(self) -> FromWorker | None:
        connected, _ = self._listener.accept()
        connected.settimeout(30)
        self._channel = BlockingChannel(connected)
        return self.hear()

    def say(self, message: FromEngine) -> None:
        self._channel.send(encode_frame(ENCODER, message))

    def hear(self) -> FromWorker | None:
        body = self._channel.receive()
        return None if body is None else msgspec.msgpack.decode(body, type=FromWorker)

    def dispatch(self, handler: str, attempt: int = 1, **payload: object) -> None:
        self.say(Dispatch("u", attempt, handler, 60.0, payload))

    def result(self) -> Result:
        heard = self.hear()
        assert isinstance(heard, Result)
        return heard

    def hang_up(self) -> None:
        self._channel.close()

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[BareEngine]:
    engine = BareEngine(tmp_path)
    yield engine
    engine.close()


@pytest.fixture
def worker(engine: BareEngine) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        python_module(
            "gaia.validator.app.compute.compute_worker", "--socket", str(engine.path), "--slot", "3",
            "--ppid", str(os.getpid()), "--registry", REGISTRY,
        )
    )  # fmt: skip
    yield process
    process.kill()
    process.wait(10)


def test_a_worker_says_hello_works_and_leaves_when_told(engine: BareEngine, worker: subprocess.Popen[bytes]) -> None:
    assert engine.accept() == Hello(3)
    engine.dispatch("echo", attempt=2, text="x")
    result = engine.result()
    assert (result.unit_id, result.attempt, result.value, result.error) == ("u", 2, {"text": "x"}, None)
    engine.say(Retire())
    assert worker.wait(30) == 0


def test_a_worker_dials_the_next_engine_when_one_has_gone(engine: BareEngine, worker: subprocess.Popen[bytes]) -> None:
    assert engine.accept() == Hello(3)
    engine.hang_up()
    assert engine.accept() == Hello(3)
    engine.dispatch("echo")
    assert engine.result().error is None


def test_a_result_for_a_dead_engine_is_dropped_and_the_worker_lives_on(
    engine: BareEngine, worker: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    engine.accept()
    engine.dispatch("wait_for_file", began=str(tmp_path / "began"), until=str(tmp_path / "release"))
    until(lambda: lines_of(tmp_path / "began"), "the handler begins")
    engine.hang_up()
    (tmp_path / "release").touch()
    assert engine.accept() == Hello(3)


def test_an_idle_worker_that_is_asked_to_stop_does_a_unit_already_on_its_way(
    engine: BareEngine, worker: subprocess.Popen[bytes]
) -> None:
    engine.accept()
    worker.send_signal(signal.SIGTERM)
    assert engine.hear() == Leaving()
    engine.dispatch("echo")  # sent before the wish was read
    assert engine.result().error is None
    engine.say(Retire())
    assert worker.wait(30) == 0


def test_a_worker_asked_to_stop_without_an_engine_goes(engine: BareEngine, worker: subprocess.Popen[bytes]) -> None:
    engine.accept()
    engine.close()
    engine.hang_up()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0


def test_an_interrupt_from_the_terminal_is_ignored(engine: BareEngine, worker: subprocess.Popen[bytes]) -> None:
    engine.accept()
    worker.send_signal(signal.SIGINT)
    engine.dispatch("echo")
    assert engine.result().error is None


def test_the_kernel_ends_a_stuck_unit_even_without_an_engine(
    engine: BareEngine, worker: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.accept()
    # 5 s of grace after the unit's own time; a negative time shortens the test, not the mechanism.
    engine.say(Dispatch("u", 1, "hold_interpreter_busy", -4.5, {}))
    assert worker.wait(30) == -signal.SIGALRM


def test_a_worker_dies_with_its_parent(engine: BareEngine) -> None:
    code = (
        "import subprocess, sys, os\n"
        "argv = [sys.executable, '-m', 'gaia.validator.app.compute.compute_worker']\n"
        "argv += ['--socket', sys.argv[1], '--slot', '0', '--ppid', str(os.getpid()), '--registry', 'm:a']\n"
        "print(subprocess.Popen(argv).pid, flush=True)\n"
        "input()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(engine.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    engine.accept()
    parent.kill()
    parent.wait(10)
    until(lambda: not is_running(pid), "the worker is gone", 2.0)
    parent.stdout.close()


def test_a_worker_whose_parent_has_already_gone_does_not_start(engine: BareEngine) -> None:
    argv = python_module(
        "gaia.validator.app.compute.compute_worker",
        *("--socket", str(engine.path), "--slot", "0", "--ppid", "1", "--registry", REGISTRY),
    )
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert "parent process 1 is gone" in done.stderr


def test_the_whole_conversation_in_one_process(engine: BareEngine) -> None:
    heard: list[object] = []
    before = signal.getsignal(signal.SIGTERM)

    def converse() -> None:
        heard.append(engine.accept())
        engine.dispatch("return_bytes", bytes=17 * 1024 * 1024)
        heard.append(engine.result().error)
        engine.dispatch("raise_plain")
        heard.append(engine.result().error)
        engine.say(Retire())

    with _in_thread(converse):
        ComputeWorker(WorkerOptions(socket=str(engine.path), slot=1, ppid=os.getppid(), registry=REGISTRY)).run()
    signal.signal(signal.SIGTERM, before)
    assert heard[0] == Hello(1)
    codes = [error.code for error in heard[1:]]  # type: ignore[attr-defined]  # UnitErrors
    assert codes == ["frame_too_large", "zero_division_error"]


def test_options_come_from_the_command_line() -> None:
    line = "--socket /run/s --slot 4 --ppid 12 --registry m:a --status-fd 9 --data-limit-bytes 1000"
    assert parse_options(line.split()) == WorkerOptions(
        socket="/run/s", slot=4, ppid=12, registry="m:a", status_fd=9, data_limit_bytes=1000
    )


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("--socket /run/s --slot", "shorter"),
        ("--socket /run/s --slot four --ppid 12", "slot"),
        ("--socket /run/s --slot 4", "ppid"),
        ("--socket /run/s --slot 4 --ppid 12 --colour red", "colour"),
    ],
)
def test_options_that_make_no_sense_are_refused_and_named(line: str, what: str) -> None:
    with pytest.raises(ConfigurationError, match=what):
        parse_options(line.split())


def test_a_worker_with_such_options_says_so_and_tells_that_trying_again_is_useless() -> None:
    done = subprocess.run(
        python_module("gaia.validator.app.compute.compute_worker", "--slot", "4"),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, b"Traceback" in done.stderr, b"socket" in done.stderr) == (2, False, True)


class _in_thread:  # noqa: N801  reads as a clause
    def __init__(self, target: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=target)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()
