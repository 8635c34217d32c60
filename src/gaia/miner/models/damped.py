"""Damped persistence: today's anomaly, fading. The best forecast that knows no dynamics. Reads nothing but
its input.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np

from gaia.miner.model import Climatology, ForecastField
from gaia.miner.models.background import Background
from gaia.protocol.run_spec import RunSpec
from gaia.tasks.defined_tasks.weather.files.store.field_store import FieldStore

E_FOLDING_H = 72.0
"""Hours in which an anomaly fades to 1/e: three days, about the decorrelation time of pressure in middle
latitudes.
"""


def damping_factor(lead_h: float) -> float:
    """Share of the initial anomaly that is left: exp(-lead / `E_FOLDING_H`), the forecast of a first-order
    autoregressive process (Wilks, Statistical Methods in the Atmospheric Sciences, section on AR(1)).

    >>> round(damping_factor(72.0), 6)
    0.367879
    """
    return math.exp(-lead_h / E_FOLDING_H)


class DampedPersistence:
    """background(valid time) + damping x (analysis - background(init time)), by `Background`."""

    def forecast(
        self, analysis: FieldStore, climatology: Climatology | None, spec: RunSpec, init_time: datetime
    ) -> Iterator[ForecastField]:
        """The fading anomaly on the background of each lead of `spec`."""
        background = Background(climatology)
        for field in spec.fields():
            initial = analysis.read(field)
            anomaly = initial - background.at(field, init_time, initial)
            for lead_h in spec.lead_h:
                usual = background.at(field, init_time + timedelta(hours=lead_h), initial)
                yield field, lead_h, usual + np.float32(damping_factor(lead_h)) * anomaly
