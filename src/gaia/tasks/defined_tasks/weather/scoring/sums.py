"""Sums that add up: they have a zero and `+`, and a total that does not depend on the order.

Owns the addition. Metrics are made elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol, Self

from msgspec import Struct, convert
from msgspec.structs import astuple


class Mergeable(Protocol):
    """Statistics of parts that can be merged into the statistic of the whole."""

    @classmethod
    def total(cls, parts: Iterable[Self]) -> Self:
        """All parts merged. Their order must change no digit."""


class Sums(Struct, frozen=True, kw_only=True):
    """Area-weighted sums in float64. The struct without arguments is zero; `+` merges; None means: not available.

    A sum that is None in one part is None in the whole: otherwise it would cover other points than the other sums.
    """

    def __add__(self, other: Self) -> Self:
        return type(self).total((self, other))

    @classmethod
    def total(cls, parts: Iterable[Self]) -> Self:
        """All parts merged. Each sum is exact until it is rounded once (Shewchuk 1997, doi:10.1007/PL00009321), so the
        digits do not depend on the order.

        A total of totals may differ from it in the last bit. Where digits must be the same for any number of workers,
        keep the parts and add them once.
        """
        columns = zip(*(astuple(part) for part in parts), strict=True)
        merged = dict(zip(cls.__struct_fields__, map(_total, columns), strict=False))
        return convert(merged, cls)


def between(within: float, areas: Sequence[float], x_steps: Sequence[float], y_steps: Sequence[float]) -> float:
    """A (co)variation about the common means: that `within` the parts, plus that of the parts' means (the steps)."""
    steps = (area * x * y for area, x, y in zip(areas, x_steps, y_steps, strict=True))
    return math.fsum((within, *steps))


def _total(values: tuple[float | None, ...]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) if len(known) == len(values) else None
