"""The usual weather of the season, whatever the weather now. It must not depend on the analysis where it
need not.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from gaia.miner.model import Climatology, ForecastField
from gaia.miner.models.background import Background
from gaia.protocol.run_spec import RunSpec
from gaia.tasks.defined_tasks.weather.files.store.field_store import FieldStore


class ClimatologyForecast:
    """Every lead is the climatology of its valid time.

    Without a climatology: the zonal mean of the initial state. Fields that a climatology lacks persist.
    """

    def forecast(
        self, analysis: FieldStore, climatology: Climatology | None, spec: RunSpec, init_time: datetime
    ) -> Iterator[ForecastField]:
        """The background at every lead of `spec`."""
        background = Background(climatology)
        for field in spec.fields():
            initial = analysis.read(field)
            for lead_h in spec.lead_h:
                yield field, lead_h, background.at(field, init_time + timedelta(hours=lead_h), initial)
