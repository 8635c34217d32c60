"""Tells the service manager that started us how we are: sd_notify(3), spoken without its library.

Says what it is told and keeps the watchdog fed; decides nothing. Without a service manager it says nothing, and a
service manager that does not listen is never waited for.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import Self


class ServiceManager:
    """One datagram socket of systemd's, or of whoever speaks its protocol."""

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        """`address` as in NOTIFY_SOCKET: a path, or `@name` in the abstract namespace; None: nobody is there.

        `watchdog_s`: it expects to hear from us at least so often.
        """
        self._address = "\0" + address[1:] if address is not None and address.startswith("@") else address
        self._feed_every_s = None if watchdog_s is None or address is None else watchdog_s / 2
        self._fed_at = -1e18
        self._socket: socket.socket | None = None
        if address is not None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)

    @classmethod
    def of_this_process(cls) -> Self:
        """As it tells the process that it has started: sd_watchdog_enabled(3)."""
        usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
        watches = usec.isdecimal() and pid in ("", str(os.getpid()))
        return cls(os.environ.get("NOTIFY_SOCKET"), int(usec) / 1e6 or None if watches else None)

    def ready(self, status: str) -> None:
        """Start-up, or a reload, is complete."""
        self._say(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """New settings are being taken up; `ready` ends it."""
        self._say(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The stop has begun."""
        self._say("STOPPING=1\nSTATUS=stopping")

    def status(self, text: str) -> None:
        """One line for people, shown by `systemctl status`."""
        self._say(f"STATUS={text}")

    def feed(self, now: float) -> None:
        """We are alive; said only when it is due. `now` is monotonic."""
        if self._feed_every_s is not None and now - self._fed_at >= self._feed_every_s:
            self._fed_at = now
            self._say("WATCHDOG=1")

    def next_feeding_in_s(self, now: float) -> float | None:
        """Until `feed` is due; None: never."""
        return None if self._feed_every_s is None else max(0.0, self._fed_at + self._feed_every_s - now)

    def close(self) -> None:
        """Say nothing more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _say(self, message: str) -> None:
        if self._socket is not None and self._address is not None:
            with contextlib.suppress(OSError):  # gone, or too busy to listen
                self._socket.sendto(message.encode(), self._address)
