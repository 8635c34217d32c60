"""The engine's connection to one compute worker: its messages, its exit, its memory.

Decides nothing about units; the pool does that. A worker's end is reported once, at the kernel's exit notice (pidfd),
after everything that the worker had written has been read.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
from collections.abc import Callable
from typing import Final, Protocol, assert_never, cast

import msgspec
from msgspec import Struct

from gaia.contracts.decoding import UNDECODABLE
from gaia.contracts.errors import ValidatorFault
from gaia.contracts.progress import Progress
from gaia.contracts.unit import ResultUnit, WorkUnit
from gaia.validator.app.compute.ipc import LENGTH, Frame, FrameReader, encode_frame, unsent
from gaia.validator.app.machine.memory import AnonymousMemory
from gaia.validator.utils.ipc_types import Dispatch, FromWorker, Hello, Leaving, Prepare, Progressed, Result, Retire

_UCRED: Final = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED
_READ_BYTES: Final = 256 * 1024
_LINGER_S: Final = 5.0
"""How long a worker may live after it has closed its connection."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(FromWorker)


class StrangeWorker(ValidatorFault):
    """A worker sent a message that does not belong at this point."""


class PendingUnit(Struct, eq=False):
    """A unit in the pool, from its submission until its future is settled."""

    unit: WorkUnit
    order: int
    future: asyncio.Future[ResultUnit]
    submitted_at: float = 0.0
    """Loop time, before the wait for a place."""
    on_progress: Callable[[Progress], None] | None = None
    progress: Progress | None = None
    """The last report of its handler."""
    attempt: int = 1
    link: WorkerLink | None = None
    """The worker that works on it now."""
    waits: bool = False
    """Whether it is in the waiting line."""


class LinkOwner(Protocol):
    """The receiver of a worker's messages and events."""

    def worker_came(self, link: WorkerLink) -> None: ...

    def worker_answered(self, link: WorkerLink, result: Result) -> None: ...

    def worker_progressed(self, link: WorkerLink, message: Progressed) -> None: ...

    def worker_leaves(self, link: WorkerLink) -> None: ...

    def worker_hung_up(self, link: WorkerLink) -> None:
        """The worker has closed its connection. It may still live for a moment."""
        ...

    def worker_gone(self, link: WorkerLink) -> None:
        """The worker has ended. Everything that it wrote has been reported before."""
        ...


class WorkerLink(asyncio.Protocol):
    """One connection. `pending` is the unit in flight, if any."""

    def __init__(self, owner: LinkOwner, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._loop = loop
        self._transport: asyncio.Transport
        self._descriptor = -1
        """The stream's descriptor, valid while the transport is not closing."""
        self._frames = FrameReader()
        self._pidfd = -1
        self._memory: AnonymousMemory | None = None
        self.slot = -1
        self.pid = -1
        self.pending: PendingUnit | None = None
        self.started_at = 0.0
        """When the unit in flight was sent (loop time)."""
        self.units_done = 0
        self.retire_after_units = 0
        self.leaving = False
        """Whether it gets no further unit."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the kernel for the peer's pid and user, and watch for its end. Processes of other users are refused."""
        self._transport = cast(asyncio.Transport, transport)
        peer = cast(socket.socket, transport.get_extra_info("socket"))
        self._descriptor = peer.fileno()
        self.pid, uid, _ = _UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        if uid != os.geteuid():
            self._transport.abort()
            return
        try:
            self._memory = AnonymousMemory(self.pid)
            self._pidfd = os.pidfd_open(self.pid)
        except OSError:  # it is gone already
            self._transport.abort()
            return
        self._loop.add_reader(self._pidfd, self._exited)

    def data_received(self, data: bytes) -> None:
        """Report each complete frame. A worker that sends invalid data is killed, because it cannot be trusted."""
        try:
            whole = len(data) > LENGTH.size and LENGTH.unpack_from(data)[0] == len(data) - LENGTH.size
            if whole and not self._frames.rest:
                self._received(_decoder.decode(data[LENGTH.size :]))
            else:
                for body in self._frames.feed(data):
                    self._received(_decoder.decode(body))
        except (*UNDECODABLE, ValidatorFault):
            self._transport.abort()
            self.kill()

    def connection_lost(self, exc: Exception | None) -> None:
        """Kill a worker that has closed its connection. It must be dead before another worker gets its unit."""
        if self._pidfd < 0 or self.slot < 0:  # its end is already known, or it never said that it is a worker
            self.close()
            self._owner.worker_gone(self)
        elif self.leaving:
            self._loop.call_later(_LINGER_S, self.kill)  # it is already ending by itself
        else:
            self.leaving = True
            self._owner.worker_hung_up(self)
            self.kill()

    def dispatch(self, unit: WorkUnit, attempt: int) -> None:
        """Send a unit. Raises FrameTooLarge, or the encoder's error (TypeError ...) for data it cannot carry."""
        message = Dispatch(unit.unit_id, attempt, unit.handler, unit.timeout_s, unit.payload)
        self._send(encode_frame(_encoder, message))

    def prepare(self, handlers: tuple[str, ...]) -> None:
        """Ask the worker to import these handlers."""
        self._send(encode_frame(_encoder, Prepare(handlers)))

    def retire(self) -> None:
        """Tell the worker to end. It gets no further unit."""
        self.leaving = True
        self._send(encode_frame(_encoder, Retire()))

    def memory_bytes(self) -> int:
        """The worker's anonymous resident memory now."""
        return self._memory.read_bytes() if self._memory is not None else 0

    def read_now(self) -> None:
        """Read what the worker has already written, before it is judged by its time or memory."""
        while not self._transport.is_closing():
            try:
                data = os.read(self._descriptor, _READ_BYTES)
            except (BlockingIOError, ConnectionResetError):
                return
            if not data:
                return
            self.data_received(data)

    def kill(self) -> None:
        """Send SIGKILL through the pidfd, so that it cannot reach another process with the same pid.

        Does nothing to a peer that has not said that it is a worker.
        """
        if self._pidfd >= 0 and self.slot >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def close(self) -> None:
        """Close the connection without killing the worker."""
        self._forget_pidfd()
        self._forget_memory()
        self._transport.abort()

    def _send(self, frame: Frame) -> None:
        """Write a frame to the stream at once, so that the worker starts while the engine does its bookkeeping.

        The transport would write only after the loop's present turn. It gets the rest that the stream does not take.
        """
        transport, sent_bytes = self._transport, 0
        if transport.is_closing():  # its descriptor may soon belong to another file
            return
        if not transport.get_write_buffer_size():  # otherwise earlier frames must go first
            try:
                sent_bytes = os.writev(self._descriptor, frame)
            except OSError:  # the stream is full or broken; the transport finds out which
                sent_bytes = 0
        if sent_bytes < LENGTH.size + len(frame[1]):
            transport.writelines(unsent(frame, sent_bytes))

    def _received(self, message: FromWorker) -> None:
        match message:
            case Result():
                self._owner.worker_answered(self, message)
            case Hello():
                if self.slot >= 0:
                    raise StrangeWorker(f"worker {self.pid} said hello twice")
                self.slot = message.slot
                self._owner.worker_came(self)
            case Progressed():
                self._owner.worker_progressed(self, message)
            case Leaving():
                self._owner.worker_leaves(self)
            case _:
                assert_never(message)

    def _exited(self) -> None:
        self.leaving = True  # its last message may be a result, and a dead worker must not get the next unit
        self.read_now()
        self.close()
        self._owner.worker_gone(self)

    def _forget_pidfd(self) -> None:
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _forget_memory(self) -> None:
        if self._memory is not None:
            self._memory.close()
            self._memory = None
