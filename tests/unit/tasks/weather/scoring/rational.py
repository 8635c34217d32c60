"""Area-weighted sums of small fields in rational arithmetic, straight from the definitions: no digit is lost."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from numpy.typing import NDArray

Term = Callable[[int, int], Fraction]


def exact(field: NDArray[Any]) -> list[list[Fraction]]:
    """The float32 or float64 values of a field as fractions."""
    return [[Fraction(float(value)) for value in row] for row in field]


class ExactSums:
    """Weights of points, float64 (nlat, nlon), taken as the exact numbers that they are."""

    def __init__(self, point_weights: NDArray[Any]) -> None:
        self.weights = exact(point_weights)

    def total(self, term: Term) -> Fraction:
        """The weighted sum of term(row, column)."""
        points = ((j, i, w) for j, row in enumerate(self.weights) for i, w in enumerate(row) if w)
        return sum((w * term(j, i) for j, i, w in points), start=Fraction(0))

    def mean(self, term: Term) -> Fraction:
        """Over all points that weigh anything."""
        return self.total(term) / self.total(lambda _j, _i: Fraction(1))

    def covariation(self, x: Term, y: Term) -> Fraction:
        """The weighted sum of products of departures from the weighted means."""
        x_mean, y_mean = self.mean(x), self.mean(y)
        return self.total(lambda j, i: (x(j, i) - x_mean) * (y(j, i) - y_mean))
