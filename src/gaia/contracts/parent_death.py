"""Ties a process's life to its parent's: when the parent dies by any path, the kernel sends this one a signal.

The signal follows the *thread* that spawned the process, so children are spawned from main threads only.
"""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def die_with_parent(parent_pid: int, with_signal: signal.Signals = signal.SIGKILL) -> None:
    """Arrange for `with_signal` at the parent's death; exits at once if `parent_pid` is already gone.

    The check must follow the arrangement: a parent that dies between the spawn and this call sends no signal.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(with_signal)) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent_pid:
        raise SystemExit(f"the parent process {parent_pid} is gone")
