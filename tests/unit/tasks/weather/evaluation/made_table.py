"""A table of scores with chosen numbers."""

from __future__ import annotations

from collections.abc import Sequence

from gaia.tasks.defined_tasks.weather.evaluation.table import ScoreRow, ScoreTable
from gaia.tasks.defined_tasks.weather.scoring.field_summary import FieldMetrics


def made_table(
    percents: Sequence[Sequence[float | None]] = ((10.0, -20.0), (0.0, None)), *, reference: str | None = "/a/ref.zarr"
) -> ScoreTable:
    """RMSE so many percent above the reference's: a row of 2t, then of z500; columns are leads of 12, 24 ... hours."""
    rows = [
        ScoreRow(
            variable=variable,
            level_hpa=level_hpa,
            lead_h=12.0 * (column + 1),
            region="global",
            unit="K",
            cases=2,
            metrics=_metrics(percent),
        )
        for (variable, level_hpa), row in zip((("2t", None), ("z", 500)), percents, strict=True)
        for column, percent in enumerate(row)
    ]
    return ScoreTable(
        forecast="/a/fc.zarr",
        truth="/a/an.nc",
        climatology=None,
        reference=reference,
        grid="7 x 12 points",
        rows=tuple(rows),
        warnings=("careful",),
    )


def _metrics(percent: float | None) -> FieldMetrics:
    absent = dict.fromkeys(FieldMetrics.__struct_fields__)
    rmse = 1.0 + (percent or 0.0) / 100
    known = {"rmse": rmse, "mse": rmse**2, "mae": rmse, "bias": 0.0, "coverage": 1.0}
    return FieldMetrics(**{**absent, **known, "rmse_ref": None if percent is None else 1.0})  # type: ignore[arg-type]
