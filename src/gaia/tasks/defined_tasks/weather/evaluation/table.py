"""What comes out of an evaluation: one row for each field, lead and region. Plain data, no arrays."""

from __future__ import annotations

from msgspec import Struct

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.scoring.ensemble import EnsembleMetrics
from gaia.tasks.defined_tasks.weather.scoring.evaluate import FieldMetrics


class ScoreRow(Struct, frozen=True, kw_only=True):
    """One variable at one level and lead in one region, merged over all starts."""

    variable: str
    level_hpa: int | None
    lead_h: float | None
    """None: the forecast does not say its lead."""
    region: str
    unit: str
    """Of bias, MAE and RMSE."""
    cases: int
    """How many starts are merged."""
    metrics: FieldMetrics
    """Of the mean of the members, where the forecast has several."""
    ensemble: EnsembleMetrics | None = None
    """Of all its members; None: the forecast has none, or one was chosen."""

    @property
    def field(self) -> FieldId:
        return FieldId(self.variable, self.level_hpa)


class ScoreTable(Struct, frozen=True, kw_only=True):
    """Everything that `gaia score` tells."""

    forecast: str
    truth: str
    climatology: str | None
    reference: str | None
    grid: str
    """The points that were scored, and how they came about if a file's own were not."""
    rows: tuple[ScoreRow, ...]
    warnings: tuple[str, ...]
