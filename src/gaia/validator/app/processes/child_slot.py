"""A slot for one child process, such as the second compute worker: starts the child, and replaces it when it ends."""

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
"""A child that ends with one of these before it is ready reports that a new start cannot help: 2 settings, 3 data."""


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
    """The system has no room for another process, or the program does not exist."""


class ChildRefuses(ConfigurationError):
    """A child reports that it cannot work until the operator corrects something."""


class ChildSlot:
    """One slot of one role, such as that of the second compute worker."""

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
        """`excused` is asked when a child's end would count as a failure. If it is true, the machine is to blame and
        not the child: the end does not count, and the slot is filled again.
        """
        self.role = role
        self.number = number
        self.keep = keep
        """Whether the child is replaced after an end that was not requested."""
        self.launch = launch
        """Starts the next child."""
        self._excused = excused
        self._policy = policy
        self._history = RestartHistory(policy)
        self.child: Child | None = None
        self.due_at: float | None = None
        """When the next child is due to start (monotonic)."""
        self.restarts = 0
        self.last_end = ""
        self.given_up = False
        """Whether the slot stays empty, because its children failed too often."""
        self.refusal: str | None = None
        """Why the last child refused to start; None if it did not refuse."""
        self._has_worked = False
        self._renewed: Child | None = None

    def fill(self) -> Child:
        """Start a child in the slot. Raises ChildNotStarted."""
        self.due_at = None
        try:
            self.child = self.launch()
        except OSError as error:
            raise ChildNotStarted(f"{self} cannot be started: {error.strerror}; the machine may lack memory") from error
        return self.child

    def refill(self) -> Child | None:
        """Start the next child; None if that failed and is tried again. Raises ChildKeepsFailing if it is given up."""
        try:
            return self.fill()
        except ChildNotStarted as error:
            self._note_failure(str(error), lived_s=0.0, expected=False, blameless=False)
            return None

    def renew(self) -> None:
        """Make the worker leave after its present unit. The next one starts when it has ended."""
        if self.child is not None:
            self._renewed = self.child
            self.child.send_signal(signal.SIGTERM)

    def give_up(self) -> None:
        """Leave the slot empty from now on."""
        self.given_up = True
        self.due_at = None

    def revive(self) -> None:
        """Try again, without the earlier failures."""
        self.given_up = False
        self._history = RestartHistory(self._policy)
        self.due_at = time.monotonic()

    def ended(self, child: Child) -> int:
        """Record the end of the child, and when the next one is due. Returns its exit status.

        Raises ChildKeepsFailing or ChildRefuses if no further child shall start. If an earlier child of this slot has
        worked, a refusal does not stop the restarts: the cause is new, and the rest of the validator keeps working.
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
            # A unit of work may kill its worker, and units contain data of strangers. So only a worker that ended
            # before it connected to the pool counts as a failure of this validator.
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
        """The present state of the slot, for the metrics."""
        usage = process_usage(self.child.pid) if self.child is not None else None
        return ChildView(role=self.role, slot=self.number, restarts=self.restarts, given_up=self.given_up, usage=usage)

    def __str__(self) -> str:
        return f"{self.role} {self.number}" if self.role is ChildRole.WORKER else str(self.role)


def describe_exit(status: int) -> str:
    """An exit status in words."""
    return f"killed by signal {-status}" if status < 0 else f"exit status {status}"


def file_in_memory(content: bytes = b"") -> BinaryIO:
    """A file in memory for what a child reads or prints, so that it works when the disk is full.

    The caller closes it. The child has its own descriptor, which closes when the child ends.
    """
    try:
        file = os.fdopen(os.memfd_create("gaia"), "w+b")
    except OSError as error:
        raise ChildNotStarted(f"nothing can be started: {error.strerror}; the machine may lack memory") from error
    file.write(content)
    file.seek(0)
    return file
