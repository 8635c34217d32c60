"""The interface of a forecast model, for plug-ins: one method that yields fields.

Start the miner with `--model package.module:factory`. The factory is called without arguments and returns the model.
The model runs in a child process of its own, and may use all of its memory and time. It must write no files that others
read, and must not use the network in the name of the miner.
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
"""(field, lead in hours, values): float32 `(latitude, longitude)`, in the variable table's unit."""

Climatology = Callable[[datetime], FieldStore | None]
"""Gives the climatology of a valid time; None if it does not cover that time."""


class ForecastModel(Protocol):
    """Turns an initial state into a forecast."""

    def forecast(
        self, analysis: FieldStore, climatology: Climatology | None, spec: RunSpec, init_time: datetime
    ) -> Iterable[ForecastField]:
        """Yield every field of `spec.fields()` at every lead of `spec.lead_h`, in any order.

        Yield each field as soon as it is ready, which keeps memory low. If a field is yielded twice, the last one
        counts.

        Args:
            analysis: The state at `init_time`, with every field of `spec` on its grid. `analysis.read(field)` gives
                float32 `(latitude, longitude)` in the variable table's unit; its axes are `analysis.latitude` and
                `analysis.longitude` in degrees. Values may be NaN where the source has none.
            climatology: Gives the climatology of a valid time, on the same grid. None: the miner has none.
            spec: The fields, the leads in hours and the grid.
            init_time: The initial time, timezone-aware UTC.

        Returns:
            (field, lead in hours, float32 `(latitude, longitude)` in the variable table's unit).

        Raises:
            Exception: Any error fails the attempt. One with `retryable` set is tried again until the deadline.

        The writer then refuses a field that the run does not ask for or that has another shape or dtype
        (UnwantedField), a value that is NaN or infinite (NonFiniteValue) or impossible on Earth (ImplausibleValue), and
        a forecast that lacks a field (IncompleteForecast). All these are the miner's fault, and nothing is committed.
        """
        ...
