"""Starts, watches and ends child processes.

Children are spawned, never forked. Each has its own session, so that a Ctrl-C at the terminal reaches only the
supervisor. Must be used from a main thread, because the parent-death signal depends on the spawning thread.
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
_ENDED: Final = os.WEXITED | os.WNOHANG | os.WNOWAIT  # without collecting its exit status
_SERVICE_MANAGER: Final = frozenset({"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})
"""Variables of systemd that no child may inherit: PostgreSQL would otherwise report for the whole validator."""


class SpawnedFromThread(ValidatorFault):
    """A child was to be started from another thread than the main one. It would die with that thread."""


def python_module(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module of ours with this interpreter, which writes no compiled modules."""
    return [sys.executable, "-B", "-m", module, *arguments]


class Child:
    """One running process. Its `pidfd` becomes readable when it ends. On `status` it sends messages to its parent."""

    def __init__(self, process: subprocess.Popen[bytes], status: socket.socket | None) -> None:
        self._process = process
        self.pid = process.pid
        self.pidfd = os.pidfd_open(process.pid)
        self.status = status
        self.started_at = time.monotonic()
        self.heard_at = self.started_at
        """When its last message came (monotonic)."""
        self.said_ready = False
        self.refusal: str | None = None
        """Why it cannot work, if it has sent such a message."""
        self.condemned = False
        """Whether it was killed for exceeding a limit. It will be replaced."""
        self.expected_to_end = False
        """Whether it was asked to end."""
        self.status_ended = False
        """Whether it has closed its status channel."""

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
        """Start a process with our environment plus `environment`, minus the variables in `without`.

        With a status channel, `--status-fd N` is appended to the command line. The channel (SOCK_SEQPACKET) keeps
        messages apart, so that none is read in halves.
        """
        if threading.current_thread() is not threading.main_thread():
            raise SpawnedFromThread(f"{argv[0]} must be started from the main thread")
        # The environment is passed on here, not read.
        inherited = {
            name: value for name, value in os.environ.items() if name.upper() not in _SERVICE_MANAGER.union(without)
        }
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
        return cls(process, ours)  # a descriptor is available, because the spawn itself needed more of them

    @property
    def alive(self) -> bool:
        """Whether it still runs. Collects its exit status."""
        return self.exit_status is None

    @property
    def exit_status(self) -> int | None:
        """Its exit status as in subprocess: negative for a signal, None while it runs. What it has forked is killed."""
        if self._process.returncode is None and os.waitid(os.P_PIDFD, self.pidfd, _ENDED):
            with contextlib.suppress(ProcessLookupError):  # until poll, its number (and its group's) is not reused
                os.killpg(self.pid, signal.SIGKILL)
        return self._process.poll()

    def messages(self) -> list[bytes]:
        """The new messages. The first message of any kind means that it is ready."""
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
        """Send it a signal through its pidfd, if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def ask_to_end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end by itself."""
        self.expected_to_end = True
        self.send_signal(number)

    def kill(self) -> None:
        """Kill it."""
        self.expected_to_end = True
        self.send_signal(signal.SIGKILL)

    def condemn(self) -> None:
        """Kill it, so that another one takes its place."""
        self.condemned = True
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout_s: float) -> bool:
        """Whether it ended within the time."""
        watch = select.poll()
        watch.register(self.pidfd, select.POLLIN)
        watch.poll(timeout_s * 1000)
        return not self.alive

    def close(self) -> None:
        """Close the descriptors of a process that has ended."""
        os.close(self.pidfd)
        if self.status is not None:
            self.status.close()
