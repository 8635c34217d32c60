"""The barotropic models of `gaia.simulation`, started from an analysis. Owns no physics of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from gaia.miner.model import Climatology, ForecastField
from gaia.protocol.run_spec import FieldId, RunSpec
from gaia.simulation.geopotential import forecast_geopotential
from gaia.simulation.twin import forecast_charts
from gaia.tasks.defined_tasks.weather.files.store.field_store import FieldStore

Z500 = FieldId("z", 500)


class Barotropic:
    """For the real atmosphere: z at 500 hPa by the barotropic vorticity equation; every other field persists."""

    def __init__(self, truncation: int, initial_error: float, seed: int) -> None:
        self._truncation = truncation
        self._initial_error = initial_error
        self._seed = seed

    def forecast(
        self, analysis: FieldStore, climatology: Climatology | None, spec: RunSpec, init_time: datetime
    ) -> Iterator[ForecastField]:
        """One integration for all leads. Raises UnresolvedGrid where the grid is too coarse."""
        for field in spec.fields():
            initial = analysis.read(field)
            if field != Z500:
                yield from ((field, lead_h, initial) for lead_h in spec.lead_h)
                continue
            charts = forecast_geopotential(
                initial,
                analysis.latitude,
                analysis.longitude,
                spec.lead_h,
                self._truncation,
                initial_error=self._initial_error,
                seed=self._seed,
            )
            yield from ((field, lead_h, chart) for lead_h, chart in zip(spec.lead_h, charts, strict=True))


class EmbeddedBarotropic:
    """For the embedded world: its own laws at a truncation, from an imperfect initial state (twin experiment).

    Every field of that world follows from one flow, which is recovered from the 500 hPa geopotential.
    """

    def __init__(self, truncation: int, initial_error: float, seed: int) -> None:
        self._truncation = truncation
        self._initial_error = initial_error
        self._seed = seed

    def forecast(
        self, analysis: FieldStore, climatology: Climatology | None, spec: RunSpec, init_time: datetime
    ) -> Iterator[ForecastField]:
        """One integration for all leads and fields. Raises BadTwinExperiment, UnresolvedGrid, UnknownField."""
        fields = spec.fields()
        by_lead = forecast_charts(
            analysis.read(Z500),
            500,
            spec.grid,
            fields,
            spec.lead_h,
            truncation=self._truncation,
            initial_error=self._initial_error,
            seed=self._seed,
        )
        for lead_h, charts in zip(spec.lead_h, by_lead, strict=True):
            yield from ((field, lead_h, chart) for field, chart in zip(fields, charts, strict=True))
