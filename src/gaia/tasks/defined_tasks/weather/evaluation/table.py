"""What comes out of an evaluation: one row for each field, lead and region. Plain data, no arrays."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.scoring.ensemble import EnsembleMetrics
from gaia.tasks.defined_tasks.weather.scoring.field_summary import FieldMetrics
from gaia.tasks.defined_tasks.weather.scoring.wind import WindMetrics

WINDS: Mapping[str, tuple[str, str]] = MappingProxyType({"10wind": ("10u", "10v"), "wind": ("u", "v")})
"""The vectors that get rows of their own, and their components."""


class ScoreRow(Struct, frozen=True, kw_only=True):
    """One variable, or the wind vector, at one level and lead in one region, merged over all starts."""

    variable: str
    """Of the table of variables, or of `WINDS`."""
    level_hpa: int | None
    lead_h: float | None
    """None: the forecast does not say its lead."""
    region: str
    unit: str
    """Of bias, MAE and RMSE."""
    cases: int
    """How many starts are merged."""
    metrics: FieldMetrics | WindMetrics
    """Of the mean of the members, where the forecast has several."""
    ensemble: EnsembleMetrics | None = None
    """Of all its members; None: the forecast has none, or one was chosen."""

    @property
    def field(self) -> FieldId:
        return FieldId(self.variable, self.level_hpa)

    def metric(self, name: str) -> float | None:
        """One of the metrics that are plain numbers; None where it cannot be had, or has no meaning for a vector."""
        value: float | None = getattr(self.metrics, name, None)
        return value


class ScoreTable(Struct, frozen=True, kw_only=True):
    """Everything that `gaia score` tells."""

    forecast: str
    truth: str
    climatology: str | None
    reference: str | None
    extremes: str | None = None
    """Where the thresholds are from."""
    mask: str | None = None
    """What says what is land and what sea."""
    grid: str
    """The points that were scored, and how they came about if a file's own were not."""
    rows: tuple[ScoreRow, ...]
    warnings: tuple[str, ...]
