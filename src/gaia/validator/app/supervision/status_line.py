"""The validator's status line for the service manager: whether the start is complete, and every present problem.

One line holds all problems, so that none hides another. Decides nothing; the log has the details.
"""

from __future__ import annotations

from enum import StrEnum

from gaia.validator.app.machine.service_manager import ServiceManager
from gaia.validator.app.telemetry.event_log import mask_password


class Trouble(StrEnum):
    """A problem that does not stop the validator. The status line has them in this order."""

    SLOTS = "degraded"
    ENGINE = "the IO-Engine cannot start"
    SETTINGS = "the old settings hold"
    DISK = "waiting for room on the disk of the data folder"


class StatusLine:
    """The status line. The supervisor's loop owns it."""

    def __init__(self, service: ServiceManager) -> None:
        self._service = service
        self._troubles: dict[Trouble, str] = {}
        self._stopping = False
        self.is_ready = False
        """Whether the start is complete: engine and all workers have been ready once."""

    def come_up(self) -> None:
        """Report that the start is complete."""
        self.is_ready = True
        self._service.ready(self._line())

    def reloading(self) -> None:
        """Report that new settings are being read; `reloaded` must follow. Reports nothing during the start."""
        if self.is_ready:
            self._service.reloading()

    def reloaded(self, refused: str | None = None) -> None:
        """Report that the new settings are in force, or why they were `refused`."""
        self._note(Trouble.SETTINGS, refused)
        if self.is_ready:
            self._service.ready(self._line())

    def note(self, trouble: Trouble, detail: str | None) -> None:
        """Note that a problem exists, with its detail (may be empty), or is over (None). Reports only changes."""
        if self._note(trouble, detail) and not self._stopping:
            self._service.status(self._line())

    def stopping(self) -> None:
        """Report that the stop has begun. Problems are no longer reported."""
        self._stopping = True
        self._service.stopping()

    def _note(self, trouble: Trouble, detail: str | None) -> bool:
        before = self._troubles.get(trouble)
        if detail is None:
            self._troubles.pop(trouble, None)
        else:
            self._troubles[trouble] = detail
        return detail != before

    def _line(self) -> str:
        told = [
            f"{kind}: {text}" if text else str(kind)
            for kind in Trouble
            if (text := self._troubles.get(kind)) is not None
        ]
        line = "; ".join(["running" if self.is_ready else "starting", *told])
        return mask_password(" ".join(line.split()))  # a line feed would start another variable of the protocol
