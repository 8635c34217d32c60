"""Makes a process end with its parent: when the parent dies, for any reason, the kernel sends a signal to this process.

The signal depends on the *thread* that spawned the process, so only main threads may spawn children.
"""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def die_with_parent(parent_pid: int, with_signal: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel for `with_signal` at the parent's death. Exits at once if `parent_pid` is already gone.

    The check must come second: if the parent dies between the spawn and this call, no signal is sent.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(with_signal)) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent_pid:
        raise SystemExit(f"the parent process {parent_pid} is gone")
