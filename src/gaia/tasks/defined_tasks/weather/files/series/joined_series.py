"""Several files as one series: starts, leads or variables that somebody keeps apart.

Owns the finding of the file that has a field. Must never choose between two that have the same one.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.files.errors import MissingField, MissingMember, UnusableStore
from gaia.tasks.defined_tasks.weather.files.series.series import Instant, Series
from gaia.tasks.defined_tasks.weather.scoring.grid import GridMismatch
from gaia.tasks.defined_tasks.weather.scoring.moments import Field
from gaia.tasks.defined_tasks.weather.variables import VARIABLES


class JoinedSeries:
    """At least two series on one grid. Raises UnusableStore, GridMismatch, MissingMember, naming both files."""

    def __init__(self, parts: Sequence[Series]) -> None:
        self._parts = [(part, frozenset(part.fields()), _by_time(part)) for part in parts]
        self._last = parts[0]
        first = parts[0]
        for part in parts[1:]:
            try:
                first.grid.require_same(part.grid, f"{part.name}, given together with {first.name},")
            except GridMismatch as error:
                raise GridMismatch(f"{first.name}: {error}") from None
            if part.members != first.members:
                raise MissingMember(
                    f"{part.name} holds members {part.members or 'none'}, {first.name} {first.members or 'none'}; "
                    "files that are given together must hold the same"
                )
        self.name = f"{first.name} and {len(parts) - 1} more"
        self.grid = first.grid
        self.members = first.members
        self.remarks = next((part.remarks for part in parts if part.remarks), ())
        self._instants = self._without_doubles()
        order = list(VARIABLES)
        held = frozenset.union(*(fields for _, fields, _ in self._parts))
        self._fields = tuple(sorted(held, key=lambda f: (order.index(f.variable), f.level_hpa or 0)))

    def fields(self) -> tuple[FieldId, ...]:
        """What any file has."""
        return self._fields

    def instants(self) -> tuple[Instant, ...]:
        return self._instants

    def unit(self, field: FieldId) -> str | None:
        """Of the first file that has the field; each is converted by what it says itself."""
        return next((part.unit(field) for part, fields, _ in self._parts if field in fields), None)

    def read(self, field: FieldId, instant: Instant, member: int | None = None) -> Field:
        """(nlat, nlon) in the table's unit, NaN where missing."""
        for part, fields, instants in self._parts:
            if field in fields and instant in instants:
                if part is not self._last:
                    self._last.forget()  # one block of one file is kept, not one of each
                    self._last = part
                return part.read(field, instants[instant], member)
        raise MissingField(f"none of {self.name} has {field} {instant}")

    def forget(self) -> None:
        self._last.forget()

    def _without_doubles(self) -> tuple[Instant, ...]:
        held: dict[Instant, dict[FieldId, Series]] = {}
        for part, fields, instants in self._parts:
            for instant in instants:
                there = held.setdefault(instant, {})
                double = next((field for field in fields if field in there), None)
                if double is not None:
                    raise UnusableStore(f"{there[double].name} and {part.name} both hold {double} {instant}")
                there |= dict.fromkeys(fields, part)
        return tuple(held)


def _by_time(part: Series) -> dict[Instant, Instant]:
    """The instants of a file by what they say, without where in that file they are."""
    return {replace(instant, at=()): instant for instant in part.instants()}
