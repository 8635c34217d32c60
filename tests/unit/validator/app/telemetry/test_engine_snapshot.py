"""Snapshots travel whole or not at all, and never hold the engine up."""

from __future__ import annotations

import socket

import msgspec
import pytest

from gaia.validator.app.telemetry.engine_snapshot import EngineSnapshot, Refusal, SnapshotSender, decode_message
from gaia.validator.app.telemetry.histogram import LAG_BOUNDS_S, Histogram


def snapshot(number: int) -> EngineSnapshot:
    lag = Histogram(LAG_BOUNDS_S)
    lag.observe(0.002)
    return EngineSnapshot(
        monotonic_s=float(number),
        loop_lag=lag.snapshot(),
        queue_depths={"compute": number},
        compute_durations={f"handler.{index}": lag.snapshot() for index in range(200)},
        units_done=number,
    )


def test_a_snapshot_arrives_as_it_was() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sender = SnapshotSender(theirs.detach())
    sender.send(snapshot(1))
    sender.send(snapshot(2))
    assert [decode_message(ours.recv(1 << 20)) for _ in range(2)] == [snapshot(1), snapshot(2)]
    sender.close()
    ours.close()


def test_a_supervisor_that_does_not_read_costs_only_snapshots() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sender = SnapshotSender(theirs.detach())
    for number in range(500):
        sender.send(snapshot(number))  # the channel is soon full
    assert decode_message(ours.recv(1 << 20)) == snapshot(0)
    ours.close()
    sender.send(snapshot(0))  # and now it is closed
    sender.close()


def test_a_refusal_is_told_apart_from_a_snapshot() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    SnapshotSender(theirs.detach()).send(Refusal(message="GAIA_TRUTH is not set"))
    assert decode_message(ours.recv(1 << 20)) == Refusal(message="GAIA_TRUTH is not set")
    ours.close()


def test_rubbish_is_no_snapshot() -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_message(b"\x01")
