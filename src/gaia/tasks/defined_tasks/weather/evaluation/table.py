"""The result of an evaluation: one row for each field, lead and region. Plain data, no arrays."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.scoring.ensemble import EnsembleMetrics
from gaia.tasks.defined_tasks.weather.scoring.field_summary import FieldMetrics
from gaia.tasks.defined_tasks.weather.scoring.wind import WindMetrics

WINDS: Mapping[str, tuple[str, str]] = MappingProxyType({"10wind": ("10u", "10v"), "wind": ("u", "v")})
"""The wind vectors that get rows of their own, and their components."""


class ScoreRow(Struct, frozen=True, kw_only=True):
    """One variable, or the wind vector, at one level and lead in one region, merged over all starts."""

    variable: str
    """A name of the variable table or of `WINDS`."""
    level_hpa: int | None
    lead_h: float | None
    """None: the forecast does not say its lead."""
    region: str
    unit: str
    """The unit of bias, MAE and RMSE."""
    cases: int
    """How many starts are merged."""
    metrics: FieldMetrics | WindMetrics
    """If the forecast has several members, these are the metrics of their mean."""
    ensemble: EnsembleMetrics | None = None
    """The metrics of all members together. None: the forecast has no members, or one was chosen."""

    @property
    def field(self) -> FieldId:
        return FieldId(self.variable, self.level_hpa)

    def metric(self, name: str) -> float | None:
        """One of the metrics that are plain numbers. None: not available, or without meaning for a vector."""
        value: float | None = getattr(self.metrics, name, None)
        return value


class ScoreTable(Struct, frozen=True, kw_only=True):
    """Everything that `gaia score` reports."""

    forecast: str
    truth: str
    climatology: str | None
    reference: str | None
    extremes: str | None = None
    """The file of the thresholds."""
    mask: str | None = None
    """The file of the land-sea mask."""
    grid: str
    """The points that were scored, and the regridding if there was one."""
    rows: tuple[ScoreRow, ...]
    warnings: tuple[str, ...]
