"""A child process: how it is started, watched and ended.

Spawned, never forked; each in a session of its own, so that a Ctrl-C at the terminal reaches only the
supervisor. Must be used from a main thread: the parent-death signal follows the spawning thread.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from gaia.contracts.errors import ValidatorFault

_STATUS_BYTES: Final = 256 * 1024
_ENDED: Final = os.WEXITED | os.WNOHANG | os.WNOWAIT  # without collecting it
_SERVICE_MANAGER: Final = frozenset({"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})
"""What systemd tells its main process, and no child of it: PostgreSQL would speak for the whole validator."""


class SpawnedFromThread(ValidatorFault):
    """A child was to be started from a thread other than the main one; it would die with that thread."""


def python_module(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module of ours with this interpreter, which writes no compiled modules."""
    return [sys.executable, "-B", "-m", module, *arguments]


class Child:
    """One running process. Its `pidfd` turns readable at its end; `status` carries what it tells its
    spawner.
    """

    def __init__(self, process: subprocess.Popen[bytes], status: socket.socket | None) -> None:
        self._process = process
        self.pid = process.pid
        self.pidfd = os.pidfd_open(process.pid)
        self.status = status
        self.started_at = time.monotonic()
        self.heard_at = self.started_at
        """When it last told anything (monotonic)."""
        self.said_ready = False
        self.refusal: str | None = None
        """Why it cannot work, if it has said so."""
        self.condemned = False
        """Whether it has been killed for what it did; another one takes its place."""
        self.expected_to_end = False
        """Whether somebody has asked it to."""
        self.status_ended = False
        """It has closed its status channel."""

    @classmethod
    def spawn(
        cls,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        without: Collection[str] = (),
        with_status: bool = False,
        stdin: int = subprocess.DEVNULL,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> Child:
        """Start a process; `environment` is added to ours, `without` left out of it. With a status channel,
        `--status-fd N` is appended.

        The channel keeps the borders of messages (SOCK_SEQPACKET), so that a message is never read by halves.
        """
        if threading.current_thread() is not threading.main_thread():
            raise SpawnedFromThread(f"{argv[0]} must be started from the main thread")
        # Handed on, not read.
        inherited = {name: value for name, value in os.environ.items() if name not in _SERVICE_MANAGER.union(without)}
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) if with_status else (None, None)
        descriptors = [theirs.fileno()] if theirs is not None else []
        try:
            process = subprocess.Popen(
                [*argv, *(part for fd in descriptors for part in ("--status-fd", str(fd)))],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=inherited | dict(environment or {}),
                pass_fds=descriptors,
                start_new_session=True,
            )
        except BaseException:
            if ours is not None:
                ours.close()
            raise
        finally:
            if theirs is not None:
                theirs.close()
        if ours is not None:
            ours.setblocking(False)
        return cls(process, ours)  # there is a descriptor to be had for it: the spawn itself needed more of them

    @property
    def alive(self) -> bool:
        """Whether it still runs; collects its exit status."""
        return self.exit_status is None

    @property
    def exit_status(self) -> int | None:
        """As subprocess gives it: negative for a signal; None while it runs. What it had forked ends with it."""
        if self._process.returncode is None and os.waitid(os.P_PIDFD, self.pidfd, _ENDED):
            with contextlib.suppress(ProcessLookupError):  # its number, and so its group's, is nobody else's until poll
                os.killpg(self.pid, signal.SIGKILL)
        return self._process.poll()

    def messages(self) -> list[bytes]:
        """What it has told since last asked. Its first message, of any kind, says that it is ready."""
        received: list[bytes] = []
        while self.status is not None and not self.status_ended:
            try:
                message = self.status.recv(_STATUS_BYTES)
            except BlockingIOError:
                break
            except ConnectionResetError:
                message = b""
            if not message:
                self.status_ended = True
                break
            received.append(message)
            self.heard_at = time.monotonic()
        self.said_ready = self.said_ready or bool(received)
        return received

    def send_signal(self, number: signal.Signals) -> None:
        """Signal it, if it still runs, through its pidfd."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def ask_to_end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Let it end by itself."""
        self.expected_to_end = True
        self.send_signal(number)

    def kill(self) -> None:
        """End it now."""
        self.expected_to_end = True
        self.send_signal(signal.SIGKILL)

    def condemn(self) -> None:
        """End it now, for another one to take its place."""
        self.condemned = True
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout_s: float) -> bool:
        """Whether it ended within the time."""
        watch = select.poll()
        watch.register(self.pidfd, select.POLLIN)
        watch.poll(timeout_s * 1000)
        return not self.alive

    def close(self) -> None:
        """Let go of the descriptors of a process that has ended."""
        os.close(self.pidfd)
        if self.status is not None:
            self.status.close()
