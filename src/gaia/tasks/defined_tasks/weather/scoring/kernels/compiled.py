"""Compiles a kernel at its first call, for one set of types. The code is kept on disk where that is possible.

Imports numba only when something is compiled. Never holds a formula.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum
from typing import Any

from gaia.tasks.defined_tasks.weather.scoring.kernels.native_kernel import NativeCall, native


class Argument(Enum):
    """A type of argument: (numpy type, dimensions, writable). Arrays are in C order. Memory maps are read-only."""

    FIELD = ("float32", 2, False)
    """(nlat, nlon)."""
    MEMBERS = ("float32", 3, False)
    """(member, nlat, nlon)."""
    ROWS = ("float64", 1, False)
    """(nlat,), one weight for each row."""
    POINTS = ("float64", 2, False)
    """(nlat, nlon), one weight for each point."""
    NUMBER = ("float64", 0, False)
    SUMS = ("float64", 1, True)
    """The array to which the kernel adds."""
    SCRATCH = SUMS
    """Working memory of the length that the kernel needs. A kernel cannot allocate memory itself."""


class Kernel:
    """Compiles `function` at the first call. Calls release the interpreter's lock and check no shapes.

    With `same_lanes` the sums have the same digits on every processor. The first call may raise KernelUnlinkable.
    """

    def __init__(self, function: Callable[..., None], *arguments: Argument, same_lanes: bool = True) -> None:
        self._function = function
        self._arguments = arguments
        self._same_lanes = same_lanes
        self._lock = threading.Lock()
        self._compiled: NativeCall | None = None

    def __call__(self, *arguments: Any) -> None:
        """Run the kernel. The last argument is the array of sums."""
        run = self._compiled or self._compile_once()
        run(*arguments)

    def bound(self, *first: Any) -> Callable[..., None]:
        """The kernel with its first arguments fixed; the result takes the others. For arrays that are used often."""
        run = self._compiled or self._compile_once()
        return run.bound(*first)

    def _compile_once(self) -> NativeCall:
        with self._lock:
            if self._compiled is None:
                parameters = [argument.value for argument in self._arguments]
                self._compiled = native(self._function, parameters, same_lanes=self._same_lanes)
            return self._compiled
