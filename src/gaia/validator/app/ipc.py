"""Frames on a stream: a 32-bit little-endian length, then one MessagePack message. Bounded in size.

Owns the framing and the worker's blocking end. Never imports asyncio, so that a worker starts fast; the
engine's end is `worker_link`.
"""

from __future__ import annotations

import socket
import struct
from typing import Any, Final

import msgspec

from gaia.contracts.errors import ValidatorFault

MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
_LENGTH: Final = struct.Struct("<I")
_READ_BYTES: Final = 64 * 1024  # below malloc's mmap threshold: 256 KiB cost 23 us more a read, mapped and unmapped


class FrameTooLarge(ValidatorFault):
    """A message is larger than a frame may be: big arrays go into files, named by path."""


def encode_frame(encoder: msgspec.msgpack.Encoder, message: Any) -> bytearray:
    """The bytes of one frame. Raises FrameTooLarge, or what the encoder raises for types that it does not
    know.
    """
    frame = bytearray(64)
    encoder.encode_into(message, frame, _LENGTH.size)
    size_bytes = len(frame) - _LENGTH.size
    if size_bytes > MAX_FRAME_BYTES:
        raise FrameTooLarge(
            f"a message of {size_bytes} bytes exceeds the limit of {MAX_FRAME_BYTES}; "
            "write big data to a file and send its path"
        )
    _LENGTH.pack_into(frame, 0, size_bytes)
    return frame


class FrameReader:
    """Cuts a stream of bytes into the bodies of its frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes | bytearray]:
        """The frames that `data` completes, in order. Raises FrameTooLarge on a length that nobody may send."""
        if not self._buffer and len(data) >= _LENGTH.size:
            (size_bytes,) = _LENGTH.unpack_from(data)
            if len(data) == _LENGTH.size + size_bytes <= MAX_FRAME_BYTES:  # the usual case: one whole frame
                return [data[_LENGTH.size :]]
        self._buffer += data
        bodies: list[bytes | bytearray] = []
        while (body := self._next()) is not None:
            bodies.append(body)
        return bodies

    def _next(self) -> bytearray | None:
        if len(self._buffer) < _LENGTH.size:
            return None
        (size_bytes,) = _LENGTH.unpack_from(self._buffer)
        if size_bytes > MAX_FRAME_BYTES:
            raise FrameTooLarge(f"the peer announces a frame of {size_bytes} bytes; the limit is {MAX_FRAME_BYTES}")
        end = _LENGTH.size + size_bytes
        if len(self._buffer) < end:
            return None
        body = self._buffer[_LENGTH.size : end]
        del self._buffer[:end]
        return body


class BlockingChannel:
    """The worker's end: sends whole frames, waits for the next one."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._reader = FrameReader()
        self._bodies: list[bytes | bytearray] = []

    def send(self, frame: bytes | bytearray) -> None:
        """Blocks until the kernel has taken the frame. Raises OSError when the peer is gone."""
        self._socket.sendall(frame)

    def receive(self) -> bytes | bytearray | None:
        """The next frame's body; None when the peer has closed."""
        while not self._bodies:
            data = self._socket.recv(_READ_BYTES)
            if not data:
                return None
            self._bodies = self._reader.feed(data)
        return self._bodies.pop(0)

    def close(self) -> None:
        """End the connection."""
        self._socket.close()
