"""How the validator stands, told to its service manager: whether it has come up, and every trouble that it has.

Composes one line of all of them, so that none hides another. Says and decides nothing else; the log has the details.
"""

from __future__ import annotations

from enum import StrEnum

from gaia.validator.app.machine.service_manager import ServiceManager
from gaia.validator.app.telemetry.event_log import mask_password


class Trouble(StrEnum):
    """What may be amiss while the validator runs on, in the order in which it is told."""

    SLOTS = "degraded"
    ENGINE = "the IO-Engine cannot start"
    SETTINGS = "the old settings hold"
    DISK = "waiting for room on the disk of the data folder"


class StatusLine:
    """Owned by the supervisor's loop."""

    def __init__(self, service: ServiceManager) -> None:
        self._service = service
        self._troubles: dict[Trouble, str] = {}
        self._stopping = False
        self.is_ready = False
        """Whether engine and workers have all come up, once."""

    def come_up(self) -> None:
        """The start is complete."""
        self.is_ready = True
        self._service.ready(self._line())

    def reloading(self) -> None:
        """New settings are being read; `reloaded` ends it. During the start nothing is said: it is not complete."""
        if self.is_ready:
            self._service.reloading()

    def reloaded(self, refused: str | None = None) -> None:
        """They are in force, or `refused` for this reason."""
        self._note(Trouble.SETTINGS, refused)
        if self.is_ready:
            self._service.ready(self._line())

    def note(self, trouble: Trouble, detail: str | None) -> None:
        """This trouble is there, with its detail (may be empty), or None: it is over. Said when that is news."""
        if self._note(trouble, detail) and not self._stopping:
            self._service.status(self._line())

    def stopping(self) -> None:
        """The stop has begun; troubles are no longer told."""
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
        return mask_password(" ".join(line.split()))  # a line feed would begin another word of the protocol
