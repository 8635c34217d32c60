"""The content of a file of weather data, as plain data. No numpy, because the IO-Engine plans runs from it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from gaia.protocol.run_spec import FieldId, GridSpec

Aware = Annotated[datetime, Meta(tz=True)]
"""A time with its timezone. A time without one is refused when the payload is read."""


class Inventory(Struct, frozen=True, kw_only=True):
    """The content of a source of truth: the known fields that exist at all of `times`."""

    times: tuple[Aware, ...]
    """Valid times, ascending. If a GRIB file holds analyses, its forecasts do not count."""
    fields: tuple[FieldId, ...]
    """In the table's order, levels ascending."""
    grid: GridSpec
    members: tuple[int, ...] = ()
    """The ensemble members; empty if the data have none."""
