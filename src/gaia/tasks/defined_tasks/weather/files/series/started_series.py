"""A forecast whose file does not say when it started, and that is told so by the request.

Owns the way back from what an instant is now to what the file knows it as. Must never overrule a file that does say.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec.structs import replace

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.files.errors import BadRequest
from gaia.tasks.defined_tasks.weather.files.series.series import Instant, Series
from gaia.tasks.defined_tasks.weather.scoring.moments import Field


class StartedSeries:
    """The same fields with start and lead. Raises BadRequest for a file that says itself when it started."""

    def __init__(self, series: Series, init_time: datetime) -> None:
        other = next((i.init_time for i in series.instants() if i.init_time not in (None, init_time)), None)
        if other is not None:
            raise BadRequest(f"{series.name} says itself when it started: {other}; leave out the initial time")
        self._series = series
        self._known_as: Mapping[Instant, Instant] = {_started(i, init_time): i for i in series.instants()}
        self.name = series.name
        self.grid = series.grid
        self.members = series.members
        self.remarks = series.remarks

    def fields(self) -> tuple[FieldId, ...]:
        return self._series.fields()

    def instants(self) -> tuple[Instant, ...]:
        return tuple(self._known_as)

    def unit(self, field: FieldId) -> str | None:
        return self._series.unit(field)

    def read(self, field: FieldId, instant: Instant, member: int | None = None) -> Field:
        """(nlat, nlon) in the table's unit, NaN where missing."""
        return self._series.read(field, self._known_as[instant], member)

    def forget(self) -> None:
        self._series.forget()


def _started(instant: Instant, init_time: datetime) -> Instant:
    if instant.lead is not None:
        return replace(instant, init_time=init_time, valid_time=init_time + instant.lead)
    if instant.valid_time is not None:
        return replace(instant, init_time=init_time, lead=instant.valid_time - init_time)
    return replace(instant, init_time=init_time)
