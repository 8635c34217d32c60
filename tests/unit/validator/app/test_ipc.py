"""Framing: whatever pieces a stream arrives in, the same messages come out."""

from __future__ import annotations

import socket
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaia.validator.app.ipc import MAX_FRAME_BYTES, BlockingChannel, FrameReader, FrameTooLarge, encode_frame

ENCODER = msgspec.msgpack.Encoder()


def test_a_frame_is_a_little_endian_length_and_a_messagepack_body() -> None:
    # MessagePack of {"a": 1}: fixmap of one (0x81), fixstr of one (0xa1) 'a', positive fixint 1.
    assert bytes(encode_frame(ENCODER, {"a": 1})) == b"\x04\x00\x00\x00\x81\xa1\x61\x01"


@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(1, 400), min_size=1))
def test_frames_survive_any_cutting_of_the_stream(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(bytes(encode_frame(ENCODER, body)) for body in bodies)
    reader, received, position, turn = FrameReader(), [], 0, 0
    while position < len(stream):
        size = cuts[turn % len(cuts)]
        received += [msgspec.msgpack.decode(body) for body in reader.feed(stream[position : position + size])]
        position, turn = position + size, turn + 1
    assert received == bodies


def test_the_largest_frame_passes_and_one_byte_more_does_not() -> None:
    header = 5  # MessagePack's bin32 header
    assert len(encode_frame(ENCODER, bytes(MAX_FRAME_BYTES - header))) == MAX_FRAME_BYTES + 4
    with pytest.raises(FrameTooLarge, match="write big data to a file"):
        encode_frame(ENCODER, bytes(MAX_FRAME_BYTES - header + 1))


@pytest.mark.parametrize("more", [b"", b"x" * 100])
def test_an_announced_length_above_the_bound_is_refused_before_anything_is_kept(more: bytes) -> None:
    with pytest.raises(FrameTooLarge, match="announces"):
        list(FrameReader().feed(struct.pack("<I", MAX_FRAME_BYTES + 1) + more))


def test_a_channel_gives_frames_one_by_one_and_none_at_the_end() -> None:
    ours, theirs = socket.socketpair()
    channel = BlockingChannel(ours)
    theirs.sendall(encode_frame(ENCODER, "one") + encode_frame(ENCODER, "two"))
    theirs.close()
    received = [channel.receive(), channel.receive()]
    assert [msgspec.msgpack.decode(body) for body in received if body is not None] == ["one", "two"]
    assert channel.receive() is None
    channel.close()


def test_a_channel_sends_what_the_other_end_reads() -> None:
    ours, theirs = socket.socketpair()
    BlockingChannel(ours).send(encode_frame(ENCODER, 7))
    assert theirs.recv(100) == b"\x01\x00\x00\x00\x07"
    ours.close()
    theirs.close()
