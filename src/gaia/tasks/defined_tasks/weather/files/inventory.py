"""What a file of weather data holds, as plain data. No numpy: the IO-Engine plans runs from it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from gaia.protocol.run_spec import FieldId, GridSpec

Aware = Annotated[datetime, Meta(tz=True)]
"""An instant with its timezone; one without is refused when the payload is read."""


class Inventory(Struct, frozen=True, kw_only=True):
    """What a source of truth holds: known fields that exist at every one of `times`."""

    times: tuple[Aware, ...]
    """Valid times, ascending. Where a GRIB file holds analyses, its forecasts are not counted."""
    fields: tuple[FieldId, ...]
    """In the table's order, levels ascending."""
    grid: GridSpec
    members: tuple[int, ...] = ()
    """Ensemble members; empty where the data have none."""
