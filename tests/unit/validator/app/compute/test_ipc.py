"""Framing: whatever pieces a stream arrives in, the same messages come out."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaia.validator.app.compute.ipc import (
    MAX_FRAME_BYTES,
    BlockingChannel,
    FrameReader,
    FrameTooLarge,
    encode_frame,
    unsent,
)

ENCODER = msgspec.msgpack.Encoder()


def whole(message: object) -> bytes:
    return b"".join(encode_frame(ENCODER, message))


def test_a_frame_is_a_little_endian_length_and_a_messagepack_body() -> None:
    # MessagePack of {"a": 1}: fixmap of one (0x81), fixstr of one (0xa1) 'a', positive fixint 1.
    assert b"".join(encode_frame(ENCODER, {"a": 1})) == b"\x04\x00\x00\x00\x81\xa1\x61\x01"


@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(1, 400), min_size=1))
def test_frames_survive_any_cutting_of_the_stream(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(whole(body) for body in bodies)
    reader, received, position, turn = FrameReader(), [], 0, 0
    while position < len(stream):
        size = cuts[turn % len(cuts)]
        received += [msgspec.msgpack.decode(body) for body in reader.feed(stream[position : position + size])]
        position, turn = position + size, turn + 1
    assert received == bodies


def test_the_largest_frame_passes_and_one_byte_more_does_not() -> None:
    header = 5  # MessagePack's bin32 header
    assert len(whole(bytes(MAX_FRAME_BYTES - header))) == MAX_FRAME_BYTES + 4
    with pytest.raises(FrameTooLarge, match="write big data to a file"):
        encode_frame(ENCODER, bytes(MAX_FRAME_BYTES - header + 1))


@pytest.mark.parametrize("more", [b"", b"x" * 100])
def test_an_announced_length_above_the_bound_is_refused_before_anything_is_kept(more: bytes) -> None:
    with pytest.raises(FrameTooLarge, match="announces"):
        list(FrameReader().feed(struct.pack("<I", MAX_FRAME_BYTES + 1) + more))


def test_a_channel_gives_frames_one_by_one_and_none_at_the_end() -> None:
    ours, theirs = socket.socketpair()
    channel = BlockingChannel(ours)
    theirs.sendall(whole("one") + whole("two"))
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


@pytest.mark.parametrize("cuts", [(1, 3, 4, 5), (4, 11), (12, 22), (9, 24), (11, 30)])
def test_a_channel_gives_the_same_frames_wherever_the_stream_is_cut(cuts: tuple[int, ...]) -> None:
    # Three frames of 4 + 7 bytes: MessagePack's fixstr of six takes one byte and six.
    words = ["first.", "second", "third."]
    stream = b"".join(whole(word) for word in words)
    ours, theirs = socket.socketpair()
    channel, received = BlockingChannel(ours), []
    for begin, end in itertools.pairwise((0, *cuts, len(stream))):
        theirs.sendall(stream[begin:end])
        ours.setblocking(False)
        with contextlib.suppress(BlockingIOError):  # no whole frame is there yet
            while (body := channel.receive()) is not None:
                received.append(msgspec.msgpack.decode(body))
    assert received == words
    ours.close()
    theirs.close()


@pytest.mark.parametrize("timeout_s", [None, 30.0])
def test_a_frame_that_no_buffer_holds_is_sent_whole(timeout_s: float | None) -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(timeout_s)
    block = bytes(range(256)) * 16384  # 4 MiB
    sender = threading.Thread(target=BlockingChannel(ours).send, args=(encode_frame(ENCODER, block),))
    sender.start()
    body = BlockingChannel(theirs).receive()
    sender.join(30)
    assert not sender.is_alive()
    assert body is not None
    assert msgspec.msgpack.decode(body) == block
    ours.close()
    theirs.close()


def test_what_is_unsent_of_a_frame_begins_where_the_sent_part_ends() -> None:
    frame = (b"\x03\x00\x00\x00", b"abc")
    rests = [b"".join(unsent(frame, sent_bytes)) for sent_bytes in range(8)]
    assert rests == [b"\x03\x00\x00\x00abc"[sent_bytes:] for sent_bytes in range(8)]
