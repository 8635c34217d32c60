"""The background of a forecast: the climatology, or a stand-in for it. Only reads; knows no model."""

from __future__ import annotations

from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from gaia.miner.model import Climatology
from gaia.protocol.run_spec import FieldId


def zonal_mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of each latitude row at every point of the row, (latitude, longitude). It is summed in float64."""
    means = values.mean(axis=1, dtype=np.float64, keepdims=True).astype(np.float32)
    return np.broadcast_to(means, values.shape)


class Background:
    """The usual value of a field at a valid time.

    With a climatology it is the climatology's value. If that lacks the field or the season, it is the initial state.
    Without a climatology it is the zonal mean of the initial state, which has the season and the latitude but no
    weather, and no mountains either.
    """

    def __init__(self, climatology: Climatology | None) -> None:
        self._climatology = climatology

    def at(self, field: FieldId, valid_time: datetime, initial: NDArray[np.float32]) -> NDArray[np.float32]:
        """The background, (latitude, longitude). `initial` is the same field of the initial state."""
        if self._climatology is None:
            return zonal_mean(initial)
        store = self._climatology(valid_time)
        if store is None or field not in store.fields():
            return initial
        return store.read(field)
