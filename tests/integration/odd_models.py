"""Forecast models that misbehave, as plug-ins of the miner's child process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from datetime import datetime

import numpy as np

from gaia.miner.model import Climatology, ForecastField
from gaia.miner.models.persistence import Persistence
from gaia.protocol.run_spec import RunSpec
from gaia.tasks.defined_tasks.weather.files.store.field_store import FieldStore


class OddModel:
    """Persistence, until the named mishap."""

    def __init__(self, mishap: str) -> None:
        self._mishap = mishap

    def forecast(
        self, analysis: FieldStore, climatology: Climatology | None, spec: RunSpec, init_time: datetime
    ) -> Iterator[ForecastField]:
        pieces = list(Persistence().forecast(analysis, climatology, spec, init_time))
        for field, lead_h, values in pieces[:-1]:
            yield field, lead_h, values
        field, lead_h, values = pieces[-1]
        match self._mishap:
            case "broken":
                yield field, lead_h, values * np.float32(1 // 0)
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "not_finite":
                yield field, lead_h, np.full_like(values, np.nan)
            case "endless":
                while True:
                    time.sleep(1)
            case _:
                return  # the last field never comes


def broken() -> OddModel:
    return OddModel("broken")


def killed() -> OddModel:
    return OddModel("killed")


def incomplete() -> OddModel:
    return OddModel("incomplete")


def not_finite() -> OddModel:
    return OddModel("not_finite")


def endless() -> OddModel:
    return OddModel("endless")
