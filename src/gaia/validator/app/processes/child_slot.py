"""A place for one child process that is kept filled: its role, its number, how to start a child, and its history."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from enum import StrEnum
from typing import BinaryIO

from gaia.contracts.errors import ConfigurationError, ValidatorFault
from gaia.validator.app.machine.memory import process_usage
from gaia.validator.app.processes.child import Child
from gaia.validator.app.processes.restart_policy import RestartHistory, RestartPolicy
from gaia.validator.app.telemetry.supervisor_view import ChildView

EXIT_REFUSED = frozenset({2, 3})
"""A child that ends so before it was ready says that starting it again cannot help: 2 for settings, 3 for data."""


class ChildRole(StrEnum):
    """The kinds of child."""

    SETTINGS = "settings"
    PREPARATION = "preparation"
    POSTGRES = "postgres"
    SETUP = "setup"
    ENGINE = "io_engine"
    WORKER = "compute_worker"


class ChildKeepsFailing(ValidatorFault):
    """A child ended more often than the restart intensity allows."""


class ChildNotStarted(ValidatorFault):
    """The system has no room for another process, or the program is not there."""


class ChildRefuses(ConfigurationError):
    """A child says that it cannot work until the operator mends something."""


class ChildSlot:
    """One place of one role, such as the second compute worker."""

    def __init__(
        self,
        role: ChildRole,
        number: int,
        launch: Callable[[], Child],
        policy: RestartPolicy,
        *,
        keep: bool,
        excused: Callable[[], bool] = lambda: False,
    ) -> None:
        """`excused` is asked at an end that would count: if so, it is the machine's failure and not the child's, and
        the slot is filled again for as long as that lasts.
        """
        self.role = role
        self.number = number
        self.keep = keep
        """Whether it is filled again after an end that nobody asked for."""
        self.launch = launch
        """Starts whoever fills it next."""
        self._excused = excused
        self._policy = policy
        self._history = RestartHistory(policy)
        self.child: Child | None = None
        self.due_at: float | None = None
        """When it is to be filled again (monotonic)."""
        self.restarts = 0
        self.last_end = ""
        self.given_up = False
        """Whether it stays empty, its children having failed too often."""
        self.refusal: str | None = None
        """Why the last one would not start; None if it would, or nobody has refused."""
        self._has_worked = False
        self._renewed: Child | None = None

    def fill(self) -> Child:
        """Start a child in it. Raises ChildNotStarted."""
        self.due_at = None
        try:
            self.child = self.launch()
        except OSError as error:
            raise ChildNotStarted(f"{self} cannot be started: {error.strerror}; the machine may lack memory") from error
        return self.child

    def refill(self) -> Child | None:
        """Start the next one; None if that fails and is to be tried again. Raises ChildKeepsFailing if it is not."""
        try:
            return self.fill()
        except ChildNotStarted as error:
            self._note_failure(str(error), lived_s=0.0, expected=False, blameless=False)
            return None

    def renew(self) -> None:
        """Have the worker in it leave after the unit that it has; the next one is started when it has gone."""
        if self.child is not None:
            self._renewed = self.child
            self.child.send_signal(signal.SIGTERM)

    def give_up(self) -> None:
        """Start nobody in it any more."""
        self.given_up = True
        self.due_at = None

    def revive(self) -> None:
        """Try again, as if nothing had happened."""
        self.given_up = False
        self._history = RestartHistory(self._policy)
        self.due_at = time.monotonic()

    def ended(self, child: Child) -> int:
        """Note the end of the child, and when the next one is due. Returns its exit status.

        Raises ChildKeepsFailing or ChildRefuses when no next one is to be started. Where one has worked, a refusal is
        no reason for that: what it wants mended was whole before, and the rest of the validator works on meanwhile.
        """
        child.messages()
        self._has_worked = self._has_worked or child.said_ready
        self.refusal = None
        status = child.exit_status or 0
        child.close()
        self.child = None
        self.last_end = describe_exit(status)
        if child.expected_to_end or not self.keep:
            return status
        if status in EXIT_REFUSED and not child.said_ready:
            self.refusal = child.refusal or f"{self} cannot start: see its message above"
            if not self._has_worked:
                raise ChildRefuses(self.refusal)
        worker = self.role is ChildRole.WORKER
        self._note_failure(
            self.last_end,
            lived_s=time.monotonic() - child.started_at,
            expected=child is self._renewed or (worker and status == 0 and child.said_ready),
            # A unit of work may kill its worker, and units come from strangers: only a worker that never got as far
            # as dialling in speaks against this validator.
            blameless=worker and child.said_ready,
        )
        return status

    def _note_failure(self, how: str, *, lived_s: float, expected: bool, blameless: bool) -> None:
        now = time.monotonic()
        excused = not expected and not blameless and (self.refusal is not None or self._excused())
        delay_s = self._history.delay_after_end(
            now=now, lived_s=lived_s, expected=expected, blameless=blameless, excused=excused
        )
        if delay_s is None:
            raise ChildKeepsFailing(
                f"{self} ended more than {self._policy.max_failures} times within {self._policy.window_s:g} s "
                f"(last {how}): see its messages above"
            )
        self.restarts += 1
        self.due_at = now + delay_s

    def view(self) -> ChildView:
        """How it looks now."""
        usage = process_usage(self.child.pid) if self.child is not None else None
        return ChildView(role=self.role, slot=self.number, restarts=self.restarts, given_up=self.given_up, usage=usage)

    def __str__(self) -> str:
        return f"{self.role} {self.number}" if self.role is ChildRole.WORKER else str(self.role)


def describe_exit(status: int) -> str:
    """An exit status in words."""
    return f"killed by signal {-status}" if status < 0 else f"exit status {status}"


def file_in_memory(content: bytes = b"") -> BinaryIO:
    """For what a child reads or prints: a full disk must keep nobody from reading new settings.

    Whoever opened it closes it once the child has started. A child's own end of it goes with the child.
    """
    try:
        file = os.fdopen(os.memfd_create("gaia"), "w+b")
    except OSError as error:
        raise ChildNotStarted(f"nothing can be started: {error.strerror}; the machine may lack memory") from error
    file.write(content)
    file.seek(0)
    return file
