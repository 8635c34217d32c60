"""The terminal that this process was started from: whether it is still there. Opens it to see, and keeps nothing."""

from __future__ import annotations

import os
import signal


class Terminal:
    """Made while the process starts, before it handles signals: who had no terminal then cannot lose it, and who was
    started to ignore SIGHUP (nohup) is meant to outlive it.
    """

    def __init__(self) -> None:
        self._matters = _is_there() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN

    def has_closed(self) -> bool:
        """Whether there was one, and it is gone: what came with the SIGHUP of a closed window or a lost connection."""
        return self._matters and not _is_there()


def _is_there() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
