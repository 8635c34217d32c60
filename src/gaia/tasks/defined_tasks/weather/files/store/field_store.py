"""Horizontal fields of one instant, whatever file they lie in: the interface that scoring reads through.

Must never interpolate, fill or align anything. What kinds of stores there are, `open_store` knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gaia.protocol.run_spec import FieldId, GridSpec
from gaia.tasks.defined_tasks.weather.files.errors import MissingField
from gaia.tasks.defined_tasks.weather.files.grid_axes import coordinates


class FieldStore(Protocol):
    """Fields of one instant on one regular grid."""

    @property
    def name(self) -> str:
        """The path, for messages."""
        ...

    @property
    def latitude(self) -> NDArray[np.float64]:
        """(nlat,) degrees, nominal."""
        ...

    @property
    def longitude(self) -> NDArray[np.float64]:
        """(nlon,) degrees, nominal."""
        ...

    def fields(self) -> tuple[FieldId, ...]:
        """What can be read."""
        ...

    def read(self, field: FieldId) -> NDArray[np.float32]:
        """(nlat, nlon) in the table's unit, NaN where a value is missing; raises MissingField."""
        ...


class MemoryStore:
    """Decoded fields, (nlat, nlon) each in the table's units. `available`: what its file held besides."""

    def __init__(
        self,
        name: str,
        grid: GridSpec,
        values: Mapping[FieldId, NDArray[np.float32]],
        available: Sequence[FieldId] = (),
    ) -> None:
        self.name = name
        self._values = values
        self._available = available or tuple(values)
        self.grid = grid
        self.latitude, self.longitude = coordinates(grid)

    def fields(self) -> tuple[FieldId, ...]:
        return tuple(self._values)

    def read(self, field: FieldId) -> NDArray[np.float32]:
        if field not in self._values:
            raise missing_field(self.name, field, self._available)
        return self._values[field]


def missing_field(name: str, wanted: FieldId, available: Sequence[FieldId]) -> MissingField:
    """The error for a field that `name` does not hold."""
    there = ", ".join(str(f) for f in available[:40]) or "none"
    more = f" and {len(available) - 40} more" if len(available) > 40 else ""
    return MissingField(f"{name} has no field {wanted}; it has {there}{more}")
