"""What a forecast model is, to the miner: one call that yields fields.

A model runs in a child process of its own and may use as much of it as it likes; it must write no files
that others read and must not talk to the network in the name of the miner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gaia.protocol.run_spec import FieldId, RunSpec
from gaia.tasks.defined_tasks.weather.files.store.field_store import FieldStore

ForecastField = tuple[FieldId, int, NDArray[np.float32]]
"""(field, lead in hours, values (latitude, longitude) in the units of the variable table)."""

Climatology = Callable[[datetime], FieldStore | None]
"""The climatology that holds at a valid time; None where it does not reach."""


class ForecastModel(Protocol):
    """Turns an initial state into a forecast."""

    def forecast(
        self, analysis: FieldStore, climatology: Climatology | None, spec: RunSpec, init_time: datetime
    ) -> Iterable[ForecastField]:
        """Yield every field of `spec` at every committed lead, in any order, each once.

        `analysis` is the state at `init_time` on the grid of `spec`. Values that are not finite, of another
        shape, missing or twice make the forecast fail before anything is committed. Pieces as they are
        ready keep memory low.
        """
        ...
