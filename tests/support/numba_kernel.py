"""A compiled function that is kept on disk, as the scoring kernels are."""

from __future__ import annotations

import numba


@numba.njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def double(number: float) -> float:
    """Twice the number."""
    return 2.0 * number
