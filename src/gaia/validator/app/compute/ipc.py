"""Frames on a stream: a 32-bit little-endian length, then one MessagePack message. Bounded in size.

Owns the framing and the worker's blocking end. Never imports asyncio, so that a worker starts fast; the
engine's end is `worker_link`.
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
"""Header and body, which the kernel puts together: one buffer for both would have to be made first."""


class FrameTooLarge(ValidatorFault):
    """A message is larger than a frame may be: big arrays go into files, named by path."""


def encode_frame(encoder: msgspec.msgpack.Encoder, message: Any) -> Frame:
    """One frame. Raises FrameTooLarge, or what the encoder raises for types that it does not know."""
    body = encoder.encode(message)
    size_bytes = len(body)
    if size_bytes > MAX_FRAME_BYTES:
        raise FrameTooLarge(
            f"a message of {size_bytes} bytes exceeds the limit of {MAX_FRAME_BYTES}; "
            "write big data to a file and send its path"
        )
    return LENGTH.pack(size_bytes), body


def unsent(frame: Frame, sent_bytes: int) -> tuple[bytes | memoryview, ...]:
    """What is left of a frame of which so much is on its way."""
    header, body = frame
    return header[sent_bytes:], memoryview(body)[max(0, sent_bytes - LENGTH.size) :]


class FrameReader:
    """Cuts a stream of bytes into the bodies of its frames.

    Both ends look themselves whether what they have read is one whole frame, as it usually is, and come here with the
    rest.
    """

    def __init__(self) -> None:
        self.rest = bytearray()
        """Of a frame that is not whole yet."""

    def feed(self, data: bytes | memoryview) -> list[Body]:
        """The frames that `data` completes, in order. Raises FrameTooLarge on a length that nobody may send."""
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
    """The worker's end: sends whole frames, waits for the next one."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._descriptor = connected.fileno()
        self._reader = FrameReader()
        self._bodies: list[Body] = []
        self._block = memoryview(bytearray(_READ_BYTES))

    def send(self, frame: Frame) -> None:
        """Blocks until the kernel has taken the frame. Raises OSError when the peer is gone."""
        try:
            sent_bytes = os.writev(self._descriptor, frame)
        except BlockingIOError:  # of a socket that has a timeout
            sent_bytes = 0
        if sent_bytes < LENGTH.size + len(frame[1]):  # that, or a signal came
            for piece in unsent(frame, sent_bytes):
                self._socket.sendall(piece)

    def receive(self) -> Body | None:
        """The next frame's body, good until the next call; None when the peer has closed."""
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
