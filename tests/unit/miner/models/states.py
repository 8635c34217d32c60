"""Small states of the atmosphere, held in memory, to forecast from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from gaia.protocol.run_spec import FieldId, GridSpec, RunSpec, VariableSpec
from gaia.tasks.defined_tasks.weather.files.grid_axes import coordinates

INIT = datetime(2017, 1, 1, tzinfo=UTC)
Z500 = FieldId("z", 500)
T2M = FieldId("2t")
GRID = GridSpec(
    latitude_first=45.0, latitude_step=-90.0, latitude_count=2,
    longitude_first=0.0, longitude_step=90.0, longitude_count=4,
)  # fmt: skip
SPEC = RunSpec(
    variables=(VariableSpec(name="z", levels_hpa=(500,)), VariableSpec(name="2t")),
    lead_h=(24, 72),
    scored_lead_h=(24, 72),
    gate_lead_h=None,
    grid=GRID,
)


class MemoryStore:
    """A FieldStore of arrays."""

    def __init__(self, fields: Mapping[FieldId, NDArray[np.float32]], grid: GridSpec = GRID) -> None:
        self._fields = dict(fields)
        self.name = "memory"
        self.latitude, self.longitude = coordinates(grid)

    def fields(self) -> tuple[FieldId, ...]:
        return tuple(self._fields)

    def read(self, field: FieldId) -> NDArray[np.float32]:
        return self._fields[field]


def rows(*values: list[float]) -> NDArray[np.float32]:
    """An array from its rows."""
    return np.array(values, dtype=np.float32)


ANALYSIS = MemoryStore(
    {
        Z500: rows([10.0, 20.0, 30.0, 40.0], [0.0, 0.0, 0.0, 8.0]),
        T2M: rows([280.0, 282.0, 284.0, 286.0], [290.0, 290.0, 290.0, 294.0]),
    }
)
