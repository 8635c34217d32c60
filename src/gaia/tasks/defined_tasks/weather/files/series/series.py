"""A file as a series of horizontal fields: which variables, at which instants, read one at a time.

Owns the interface that everything of an evaluation is read through. Must never interpolate, fill or align.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from msgspec import Struct

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.scoring.grid import Grid
from gaia.tasks.defined_tasks.weather.scoring.moments import Field


class Instant(Struct, frozen=True, kw_only=True):
    """Which of a file's many fields of one variable: everything that the file says of its time. None: not said."""

    init_time: datetime | None = None
    lead: timedelta | None = None
    valid_time: datetime | None = None
    month: int | None = None
    day_of_month: int | None = None
    day_of_year: int | None = None
    hour: int | None = None
    at: tuple[tuple[str, int], ...] = ()
    """Where in the file that is; only the series itself reads this."""

    def __str__(self) -> str:
        named = [f"started {_utc(self.init_time)}"] if self.init_time else []
        named += [f"+{hours(self.lead):g} h"] if self.lead is not None else []
        named += [f"valid at {_utc(self.valid_time)}"] if self.valid_time and not named else []
        named += [f"month {self.month}"] if self.month else []
        named += [f"day {self.day_of_month}"] if self.day_of_month else []
        named += [f"day {self.day_of_year} of the year"] if self.day_of_year else []
        named += [f"{self.hour:02d}Z"] if self.hour is not None else []
        return " ".join(named) or "its only instant"


class Series(Protocol):
    """Fields of one file."""

    @property
    def name(self) -> str:
        """The path, for messages."""
        ...

    @property
    def grid(self) -> Grid: ...

    @property
    def members(self) -> tuple[int, ...]:
        """Ensemble members; empty where the file has none."""
        ...

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the reader should know of how the file was read."""
        ...

    def fields(self) -> tuple[FieldId, ...]:
        """Variables of the table, levels ascending."""
        ...

    def instants(self) -> tuple[Instant, ...]: ...

    def unit(self, field: FieldId) -> str | None:
        """What the file itself says the unit is; values are converted from it to the table's."""
        ...

    def read(self, field: FieldId, instant: Instant, member: int | None = None) -> Field:
        """(nlat, nlon) in the table's unit, NaN where missing; raises MissingField, UnusableStore."""
        ...

    def forget(self) -> None:
        """Give back the memory that is kept for the next read."""
        ...


def called(what: str, name: str) -> str:
    """A file by its part in the evaluation and its name; what has no name but its part is not called so twice.

    >>> called("truth", "an.nc"), called("truth", "the truth")
    ('the truth an.nc', 'the truth')
    """
    return name if name == f"the {what}" else f"the {what} {name}"


def hours(lead: timedelta) -> float:
    """A lead time in hours."""
    return lead / timedelta(hours=1)


def _utc(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%dT%H:%MZ}" if moment else "?"
