"""Finds instants by their times, without a search through all of them. Pure.

A time that an instant does not state (None) fits any time. Each index is built once, at the first search that needs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import product

from gaia.tasks.defined_tasks.weather.files.series.series import Instant

_START_AND_LEAD = ("init_time", "lead", "valid_time")
_CALENDAR = ("month", "day_of_month", "day_of_year", "hour")


class ForecastLookup:
    """Forecast instants by start, lead and valid time."""

    def __init__(self, instants: Sequence[Instant]) -> None:
        self._instants = instants
        self._indices: dict[tuple[str, ...], dict[tuple[object, ...], list[Instant]]] = {}

    def alike(self, instant: Instant) -> list[Instant]:
        """The instants with the same times as `instant`, as far as both state them."""
        known = tuple(name for name in _START_AND_LEAD if getattr(instant, name) is not None)
        if known not in self._indices:
            self._indices[known] = _index(self._instants, known)
        keys = product(*((getattr(instant, name), None) for name in known))
        return [other for key in keys for other in self._indices[known].get(key, ())]


class CalendarLookup:
    """Instants of a climatology by month, day and hour, as far as each states them."""

    def __init__(self, instants: Sequence[Instant]) -> None:
        said: dict[tuple[str, ...], list[Instant]] = {}
        for instant in instants:
            axes = tuple(name for name in _CALENDAR if getattr(instant, name) is not None)
            said.setdefault(axes, []).append(instant)
        self._indices = {axes: _index(held, axes) for axes, held in said.items()}
        self._only = instants[0] if len(instants) == 1 and () in said else None

    @property
    def for_any_time(self) -> Instant | None:
        """The only instant, if it has no calendar axis; None otherwise."""
        return self._only

    def at(self, moment: datetime) -> list[Instant]:
        """The instants for a moment. An instant without any calendar axis (one year of a series) fits no moment."""
        here = {
            "month": moment.month,
            "day_of_month": moment.day,
            "day_of_year": moment.timetuple().tm_yday,
            "hour": moment.hour,
        }
        return list(self._found(here))

    def _found(self, here: dict[str, int]) -> Iterator[Instant]:
        for axes, index in self._indices.items():
            if axes:
                yield from index.get(tuple(here[name] for name in axes), ())


def _index(instants: Iterable[Instant], names: tuple[str, ...]) -> dict[tuple[object, ...], list[Instant]]:
    index: dict[tuple[object, ...], list[Instant]] = {}
    for instant in instants:
        index.setdefault(tuple(getattr(instant, name) for name in names), []).append(instant)
    return index
