"""How a kernel is compiled: at its first call, for one set of types, kept on disk where that is possible.

Imports numba only when something is compiled. Never holds a formula.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum
from typing import Any

from gaia.tasks.defined_tasks.weather.scoring.kernels.native_kernel import NativeCall, native


class Argument(Enum):
    """What a kernel takes: (numpy type, dimensions, writable). Arrays are in C order; maps of files are readonly."""

    FIELD = ("float32", 2, False)
    """(nlat, nlon)."""
    MEMBERS = ("float32", 3, False)
    """(member, nlat, nlon)."""
    ROWS = ("float64", 1, False)
    """(nlat,), a weight a row."""
    POINTS = ("float64", 2, False)
    """(nlat, nlon), a weight a point."""
    NUMBER = ("float64", 0, False)
    SUMS = ("float64", 1, True)
    """What the kernel adds to."""
    SCRATCH = SUMS
    """Room to work in, of whatever length the kernel needs; it can allocate none itself."""


class Kernel:
    """`function`, compiled at its first call. Calls release the interpreter's lock and check no shapes.

    `same_lanes`: its sums have the same digits on every processor. The first call raises KernelUnlinkable.
    """

    def __init__(self, function: Callable[..., None], *arguments: Argument, same_lanes: bool = True) -> None:
        self._function = function
        self._arguments = arguments
        self._same_lanes = same_lanes
        self._lock = threading.Lock()
        self._compiled: NativeCall | None = None

    def __call__(self, *arguments: Any) -> None:
        """Run it; the last argument is the array of sums."""
        run = self._compiled or self._compile_once()
        run(*arguments)

    def bound(self, *first: Any) -> Callable[..., None]:
        """What takes the other arguments, the first ones being given: for arrays that are used often."""
        run = self._compiled or self._compile_once()
        return run.bound(*first)

    def _compile_once(self) -> NativeCall:
        with self._lock:
            if self._compiled is None:
                parameters = [argument.value for argument in self._arguments]
                self._compiled = native(self._function, parameters, same_lanes=self._same_lanes)
            return self._compiled
