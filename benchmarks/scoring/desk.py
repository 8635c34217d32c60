"""Gives units to real compute workers, one at a time, and waits: the engine's side of their protocol, blocking."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from gaia.contracts.errors import ValidatorFault
from gaia.contracts.unit import UnitFailed
from gaia.validator.app.compute.ipc import BlockingChannel, encode_frame
from gaia.validator.app.compute.worker_launch import WorkerLaunch
from gaia.validator.app.processes.child import Child
from gaia.validator.utils.ipc_types import Dispatch, FromWorker, Hello, Result

_PATIENCE_S = 60.0
_FIELDS = ("Rss", "Pss", "Pss_Anon", "Pss_File")


class WorkerSilent(ValidatorFault):
    """A worker hung up, or said something else than was asked."""


class Worker:
    """One worker process that has said hello. `start_s`: how long that took from its spawning."""

    def __init__(self, child: Child, connected: socket.socket, spawned_s: float) -> None:
        self._child = child
        self._connected = connected
        self._channel = BlockingChannel(connected)
        self._spawned_s = spawned_s
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)
        if not isinstance(self._receive(), Hello):
            raise WorkerSilent("a worker did not begin with Hello")
        self.start_s = self.age_s

    @property
    def age_s(self) -> float:
        """Seconds on the wall since it was spawned."""
        return time.monotonic() - self._spawned_s

    @property
    def busy_s(self) -> float:
        """Seconds of processor time that it has used."""
        return int(Path(f"/proc/{self._child.pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9

    def do(self, handler: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """The value of one unit; raises UnitFailed if its handler failed."""
        self.give(handler, payload)
        return self.answer()

    def give(self, handler: str, payload: Mapping[str, Any]) -> None:
        """Let it begin with a unit."""
        self._channel.send(encode_frame(self._encoder, Dispatch("a unit", 1, handler, _PATIENCE_S, payload)))

    def answer(self) -> Mapping[str, Any]:
        """Wait for the unit's value; raises UnitFailed if its handler failed."""
        while not isinstance(answer := self._receive(), Result):
            pass  # how far it has come
        if answer.error is not None:
            raise UnitFailed(answer.error)
        return answer.value or {}

    def hold(self, held: bool) -> None:
        """Stop it where it is, or let it go on."""
        self._child.send_signal(signal.SIGSTOP if held else signal.SIGCONT)

    def memory_bytes(self) -> dict[str, int]:
        """Resident memory; Pss shares what several processes map among them."""
        rollup = Path(f"/proc/{self._child.pid}/smaps_rollup").read_text(encoding="ascii")
        values = {line.partition(":")[0]: line.split()[1] for line in rollup.splitlines()[1:]}
        return {name: int(values[name]) * 1024 for name in _FIELDS}

    def answers_within(self, seconds: float) -> bool:
        """Whether it has something to say by then."""
        return bool(select.select([self._connected], [], [], seconds)[0])

    def end(self) -> None:
        """Hang up and take it down."""
        self._channel.close()
        self._child.kill()
        self._child.wait(_PATIENCE_S)
        self._child.close()

    def _receive(self) -> FromWorker:
        body = self._channel.receive()
        if body is None:
            raise WorkerSilent("a worker hung up")
        return self._decoder.decode(body)


@contextlib.contextmanager
def desk(folder: Path) -> Iterator[Desk]:
    """A place that workers can dial, in an empty folder; all of them end with it."""
    folder.mkdir(parents=True, exist_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.closing(listening):
        listening.settimeout(_PATIENCE_S)
        listening.bind(str(folder / "engine.sock"))
        listening.listen(8)
        opened = Desk(
            listening, WorkerLaunch(socket_path=folder / "engine.sock", cache_dir=folder / "cache", registry="weather")
        )
        try:
            yield opened
        finally:
            for worker in opened.workers:
                worker.end()


class Desk:
    """Starts workers as the engine's pool does."""

    def __init__(self, listening: socket.socket, launch: WorkerLaunch) -> None:
        self._listening = listening
        self._launch = launch
        self.workers: list[Worker] = []

    def start(self) -> Worker:
        """Spawn one and wait for its hello."""
        spawned_s = time.monotonic()
        child = self._launch.spawn(len(self.workers))
        connected, _ = self._listening.accept()
        connected.settimeout(_PATIENCE_S)
        worker = Worker(child, connected, spawned_s)
        self.workers.append(worker)
        return worker
