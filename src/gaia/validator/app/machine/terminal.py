"""Finds out whether the terminal that this process was started from is still open."""

from __future__ import annotations

import os
import signal


class Terminal:
    """The terminal of this process. Create it at the start of the process, before signals are handled.

    A process without a terminal at its start cannot lose one. A process that ignores SIGHUP at its start (nohup) shall
    outlive its terminal.
    """

    def __init__(self) -> None:
        self._matters = _is_there() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN

    def has_closed(self) -> bool:
        """Whether there was a terminal and it is gone. Then a SIGHUP means a closed window or a lost connection."""
        return self._matters and not _is_there()


def _is_there() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
