"""Signals as readable bytes, for a loop that polls descriptors. Main thread only."""

from __future__ import annotations

import contextlib
import signal
import socket
from types import FrameType


class SignalWakeup:
    """While entered, the given signals do nothing but turn `fileno()` readable, and be `received()`."""

    def __init__(self, *signals: signal.Signals) -> None:
        self._signals = signals
        self._came: list[signal.Signals] = []

    def __enter__(self) -> SignalWakeup:
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        self._previous_fd = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        self._previous = {number: signal.signal(number, self._note) for number in self._signals}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_fd)
        self._read.close()
        self._write.close()

    def fileno(self) -> int:
        """Readable when a signal has come."""
        return self._read.fileno()

    def received(self) -> list[signal.Signals]:
        """The signals since last asked, in order."""
        with contextlib.suppress(BlockingIOError):
            self._read.recv(4096)
        came, self._came = self._came, []
        return came

    def _note(self, number: int, _frame: FrameType | None) -> None:
        """Kept here, not read from the descriptor: that holds 278 bytes, and a storm of one signal loses the others."""
        self._came.append(signal.Signals(number))
