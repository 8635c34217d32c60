"""Dies with its parent, by whatever path the parent dies. Linux only; it must never signal anybody but
itself.

The validator has its own copy of these lines, since neither side imports the other.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel for SIGTERM at the parent's death; leave at once if it is dead already.

    The check after the request closes the gap between the two (prctl(2), PR_SET_PDEATHSIG).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:
        sys.exit(f"parent {parent_pid} is gone")
