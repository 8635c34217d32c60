"""The frames between engine and worker: a 32-bit little-endian length, then one MessagePack message of bounded size.

Owns the framing and the worker's blocking end. Never imports asyncio, so that a worker starts fast. The engine's end is
`worker_link`.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Any, Final

import msgspec

from gaia.contracts.errors import ValidatorFault

MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
LENGTH: Final = struct.Struct("<I")
_READ_BYTES: Final = 64 * 1024

Body = bytes | bytearray | memoryview
Frame = tuple[bytes, bytes]
"""Header and body. They stay separate, because the kernel joins them without a copy."""


class FrameTooLarge(ValidatorFault):
    """A message is too large for a frame. Big arrays must go into files, with their path in the message."""


def encode_frame(encoder: msgspec.msgpack.Encoder, message: Any) -> Frame:
    """The frame of a message. Raises FrameTooLarge, or the encoder's error for a type that it does not know."""
    body = encoder.encode(message)
    size_bytes = len(body)
    if size_bytes > MAX_FRAME_BYTES:
        raise FrameTooLarge(
            f"a message of {size_bytes} bytes exceeds the limit of {MAX_FRAME_BYTES}; "
            "write big data to a file and send its path"
        )
    return LENGTH.pack(size_bytes), body


def unsent(frame: Frame, sent_bytes: int) -> tuple[bytes | memoryview, ...]:
    """The rest of a frame of which `sent_bytes` are already sent."""
    header, body = frame
    return header[sent_bytes:], memoryview(body)[max(0, sent_bytes - LENGTH.size) :]


class FrameReader:
    """Cuts a stream of bytes into the bodies of its frames.

    What has been read is usually one whole frame. Both ends check that first, and use this class for all other cases.
    """

    def __init__(self) -> None:
        self.rest = bytearray()
        """The bytes of a frame that is not complete yet."""

    def feed(self, data: bytes | memoryview) -> list[Body]:
        """The frames that `data` completes, in order. Raises FrameTooLarge if a frame's length exceeds the limit."""
        self.rest += data
        bodies: list[Body] = []
        while (body := self._next()) is not None:
            bodies.append(body)
        return bodies

    def _next(self) -> bytearray | None:
        if len(self.rest) < LENGTH.size:
            return None
        size_bytes = LENGTH.unpack_from(self.rest)[0]
        if size_bytes > MAX_FRAME_BYTES:
            raise FrameTooLarge(f"the peer announces a frame of {size_bytes} bytes; the limit is {MAX_FRAME_BYTES}")
        end = LENGTH.size + size_bytes
        if len(self.rest) < end:
            return None
        body = self.rest[LENGTH.size : end]
        del self.rest[:end]
        return body


class BlockingChannel:
    """The worker's end: sends whole frames, and waits for the next one."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._descriptor = connected.fileno()
        self._reader = FrameReader()
        self._bodies: list[Body] = []
        self._block = memoryview(bytearray(_READ_BYTES))

    def send(self, frame: Frame) -> None:
        """Send a frame. Blocks until the kernel has taken it. Raises OSError if the peer has ended."""
        try:
            sent_bytes = os.writev(self._descriptor, frame)
        except BlockingIOError:  # the socket has a timeout
            sent_bytes = 0
        if sent_bytes < LENGTH.size + len(frame[1]):  # because of the timeout or a signal
            for piece in unsent(frame, sent_bytes):
                self._socket.sendall(piece)

    def receive(self) -> Body | None:
        """The next frame's body, valid until the next call. None when the peer has closed."""
        while not self._bodies:
            size_bytes = self._socket.recv_into(self._block)
            if not size_bytes:
                return None
            whole = size_bytes > LENGTH.size and LENGTH.unpack_from(self._block)[0] == size_bytes - LENGTH.size
            if whole and not self._reader.rest:
                return self._block[LENGTH.size : size_bytes]
            self._bodies = self._reader.feed(self._block[:size_bytes])
        return self._bodies.pop(0)

    def close(self) -> None:
        """End the connection."""
        self._socket.close()
