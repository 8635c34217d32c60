"""Tomorrow is as today. The baseline that everything else must beat. It must never look at anything but the
analysis.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from gaia.miner.model import Climatology, ForecastField
from gaia.protocol.run_spec import RunSpec
from gaia.tasks.defined_tasks.weather.files.store.field_store import FieldStore


class Persistence:
    """Every lead is the initial state."""

    def forecast(
        self, analysis: FieldStore, climatology: Climatology | None, spec: RunSpec, init_time: datetime
    ) -> Iterator[ForecastField]:
        """The analysis, unchanged, at every lead of `spec`."""
        for field in spec.fields():
            initial = analysis.read(field)
            for lead_h in spec.lead_h:
                yield field, lead_h, initial
