"""Statistics of many samples, kept apart by name until the last: runs, leads and workers combine exactly.

Owns the merging. Never forgets what has been counted, and never counts it twice.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from gaia.contracts.errors import ValidatorFault
from gaia.tasks.defined_tasks.weather.scoring.metrics import NothingToScore
from gaia.tasks.defined_tasks.weather.scoring.sums import Mergeable

K = TypeVar("K", bound=Hashable)
G = TypeVar("G", bound=Hashable)
S = TypeVar("S", bound=Mergeable)


class CountedTwice(ValidatorFault):
    """The same sample would enter a mean twice."""


@dataclass(frozen=True, kw_only=True)
class Aggregate(Generic[K, S]):
    """Sums by sample, such as (init_time, lead, field). `Aggregate()` is zero; `+` joins what two workers did.

    Sums are added only when a total is asked for, all at once and each rounded once: the digits are the same
    for any number of workers and any order. A sample costs about 200 bytes.
    """

    samples: Mapping[K, S] = field(default_factory=dict)

    def __add__(self, other: Aggregate[K, S]) -> Aggregate[K, S]:
        """Both; raises CountedTwice if they share a sample."""
        twice = self.samples.keys() & other.samples.keys()
        if twice:
            raise CountedTwice(f"{len(twice)} samples would count twice, such as {min(twice, key=repr)!r}")
        return Aggregate(samples={**self.samples, **other.samples})

    def total(self) -> S:
        """All samples merged; metrics made of it take their roots after the mean. Raises NothingToScore."""
        if not self.samples:
            raise NothingToScore("no sample has been added")
        values = list(self.samples.values())
        return type(values[0]).total(values)

    def by(self, group: Callable[[K], G]) -> dict[G, S]:
        """Totals of the samples that `group` maps to the same key, in the order in which keys first appear."""
        groups: dict[G, list[S]] = {}
        for key, sums in self.samples.items():
            groups.setdefault(group(key), []).append(sums)
        return {key: type(parts[0]).total(parts) for key, parts in groups.items()}
