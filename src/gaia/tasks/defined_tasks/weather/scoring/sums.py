"""Statistics that add up: sums with a zero and `+`, and a total that does not depend on the order.

Owns the adding. Never makes a metric from a sum.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol, Self

from msgspec import Struct, convert
from msgspec.structs import astuple


class Mergeable(Protocol):
    """Statistics of samples that make one statistic of all of them."""

    @classmethod
    def total(cls, parts: Iterable[Self]) -> Self:
        """All parts merged; their order must change no digit."""


class Sums(Struct, frozen=True, kw_only=True):
    """Area-weighted sums, float64. The struct without arguments is zero; `+` merges; None means: not available.

    A sum that one part lacks is lacking in the whole, for it would speak of other points than the rest.
    """

    def __add__(self, other: Self) -> Self:
        return type(self).total((self, other))

    @classmethod
    def total(cls, parts: Iterable[Self]) -> Self:
        """All parts merged; each sum is rounded once (Shewchuk 1997), so that no order gives other digits.

        Adding totals of totals may differ from that in the last bit: where digits must be the same for any number of
        workers, keep the parts and total them once.
        """
        columns = zip(*(astuple(part) for part in parts), strict=True)
        merged = dict(zip(cls.__struct_fields__, map(_total, columns), strict=False))
        return convert(merged, cls)


def between(within: float, areas: Sequence[float], x_steps: Sequence[float], y_steps: Sequence[float]) -> float:
    """A (co)variation about the common means: `within` the parts, plus their areas x steps from those means."""
    steps = (area * x * y for area, x, y in zip(areas, x_steps, y_steps, strict=True))
    return math.fsum((within, *steps))


def _total(values: tuple[float | None, ...]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) if len(known) == len(values) else None
