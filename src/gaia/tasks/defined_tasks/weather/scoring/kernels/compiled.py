"""How a kernel is compiled: at its first call, for one set of types, kept on disk where that is possible.

Imports numba only when something is compiled, or taken from its cache because `native_kernel` cannot run it. Never
holds a formula.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any

from gaia.tasks.defined_tasks.weather.scoring.kernels.native_kernel import (
    MAY_REORDER,
    KernelUnlinkable,
    NativeCall,
    native,
)


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

    def numba_type(self) -> Any:
        """The type by which numba knows it."""
        from numba import types

        name, dimensions, writable = self.value
        scalar = getattr(types, name)
        return types.Array(scalar, dimensions, "C", readonly=not writable) if dimensions else scalar


class Kernel:
    """`function`, compiled at its first call. Calls release the interpreter's lock and check no shapes."""

    def __init__(self, function: Callable[..., None], *arguments: Argument) -> None:
        self._function = function
        self._arguments = arguments
        self._lock = threading.Lock()
        self._compiled: Callable[..., None] | None = None

    def __call__(self, *arguments: Any) -> None:
        """Run it; the last argument is the array of sums."""
        run = self._compiled or self._compile_once()
        run(*arguments)

    def bound(self, *first: Any) -> Callable[..., None]:
        """What takes the other arguments, the first ones being given: for arrays that are used often."""
        run = self._compiled or self._compile_once()
        return run.bound(*first) if isinstance(run, NativeCall) else partial(run, *first)

    def _compile_once(self) -> Callable[..., None]:
        with self._lock:
            if self._compiled is None:
                self._compiled = self._compile()
            return self._compiled

    def _compile(self) -> Callable[..., None]:
        try:
            return native(self._function, [argument.value for argument in self._arguments])
        except KernelUnlinkable:  # it allocates: only numba can run it
            return self._compile_for_numba()

    def _compile_for_numba(self) -> Callable[..., None]:
        import numba

        signature = numba.void(*(argument.numba_type() for argument in self._arguments))
        compiled: Callable[..., None]
        # In vectors of LLVM's own choice: numba's cache would not tell code for others from it, and LLVM remarks on
        # stderr upon every loop that it cannot make them of.
        try:
            compiled = numba.njit([signature], nogil=True, fastmath=MAY_REORDER, cache=True)(self._function)
        except RuntimeError:  # numba's way to say that no folder for its cache is writable
            compiled = numba.njit([signature], nogil=True, fastmath=MAY_REORDER)(self._function)
        return compiled
