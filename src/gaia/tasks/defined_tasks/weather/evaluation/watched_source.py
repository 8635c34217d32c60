"""One file of an evaluation, read on the grid that is scored, and watched for what looks wrong.

Owns the checks that belong to a single file. Must never change a value, but by the regridding that was asked for.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.files.errors import UnusableValues
from gaia.tasks.defined_tasks.weather.files.series.same_points import Points
from gaia.tasks.defined_tasks.weather.files.series.series import Instant, Series
from gaia.tasks.defined_tasks.weather.files.series.unit_checks import implausibility
from gaia.tasks.defined_tasks.weather.scoring.moments import Field


class Warnings:
    """What a reader of the scores should know; each said once."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, ...], str] = {}

    def add(self, text: str, *about: str) -> None:
        """Of warnings about the same only the first is kept."""
        self._said.setdefault(about or (text,), text)

    def all(self) -> tuple[str, ...]:
        return tuple(self._said.values())


class Source:
    """A series on the scored grid."""

    def __init__(
        self,
        series: Series,
        member: int | None,
        *,
        points: Points,
        regrid: Callable[[Field], Field] | None,
        warnings: Warnings,
    ) -> None:
        self.series = series
        self.member = member
        self._points = points
        self._regrid = regrid
        self._warnings = warnings

    @property
    def name(self) -> str:
        return self.series.name

    @property
    def has_ensemble(self) -> bool:
        """Whether `read_members` has several to give."""
        return self.member is None and len(self.series.members) > 1

    def has(self, field: FieldId) -> bool:
        return field in self.series.fields()

    def read(self, field: FieldId, instant: Instant) -> Field:
        """(nlat, nlon) of the chosen member, or the only one."""
        return self._read(field, instant, self.member)

    def read_members(self, field: FieldId, instant: Instant) -> NDArray[np.float32]:
        """(member, nlat, nlon) of all members."""
        return np.stack([self._read(field, instant, member) for member in self.series.members])

    def refuse_infinity(self, field: FieldId, instant: Instant, values: Field) -> None:
        """Infinity is no way to say that a value is missing; raises UnusableValues."""
        count = int(np.isinf(values).sum())
        if count:
            raise UnusableValues(
                f"{self.name}: {field} {instant} is infinite at {count} of {values.size} points; expected are numbers, "
                "and NaN where a value is missing"
            )

    def _read(self, field: FieldId, instant: Instant, member: int | None) -> Field:
        values = self._points.of(self.series.read(field, instant, member))
        wrong = implausibility(field, values)
        if wrong is not None:
            self._warnings.add(f"{self.name}: {field} {instant} {wrong}", self.name, field.variable, "magnitude")
        return values if self._regrid is None else self._regrid(values)
