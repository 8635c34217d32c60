"""The barotropic model of `gaia.simulation`, started from the analysis. Owns no physics of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from gaia.miner.model import Climatology, ForecastField
from gaia.protocol.run_spec import FieldId, RunSpec
from gaia.simulation.geopotential import forecast_geopotential
from gaia.tasks.defined_tasks.weather.sources.field_store import FieldStore

Z500 = FieldId("z", 500)


class Barotropic:
    """Forecasts z at 500 hPa; every other field persists."""

    def __init__(self, truncation: int, initial_error: float, seed: int) -> None:
        self._truncation = truncation
        self._initial_error = initial_error
        self._seed = seed

    def forecast(
        self, analysis: FieldStore, climatology: Climatology | None, spec: RunSpec, init_time: datetime
    ) -> Iterator[ForecastField]:
        for field in spec.fields():
            initial = analysis.read(field)
            if field != Z500:
                for lead_h in spec.lead_h:
                    yield field, lead_h, initial
                continue
            charts = forecast_geopotential(
                initial, analysis.latitude, analysis.longitude, spec.lead_h, self._truncation
            )
            for lead_h, values in zip(spec.lead_h, charts, strict=True):
                yield field, lead_h, values
