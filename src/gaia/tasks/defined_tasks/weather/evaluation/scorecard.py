"""The scorecard: how much better or worse than the reference, field by field and lead by lead, as a picture.

Owns the drawing. Computes nothing but the percentage that it shows; blue is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from gaia.contracts.errors import ConfigurationError
from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.evaluation.table import ScoreRow, ScoreTable
from gaia.tasks.defined_tasks.weather.files.errors import BadRequest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK: Final = "#1f2933"
_FAINT: Final = "#6b7785"
_CELL_INCHES: Final = (0.62, 0.30)
_DOTS_PER_INCH: Final = 140
_FULL_COLOUR_PERCENT: Final = (5.0, 10.0, 20.0, 50.0, 100.0)
"""The colour scale ends at the smallest of these that nine tenths of the cells keep within."""
_LONG_NAMES: Final = {
    "2t": "2 m temperature",
    "msl": "sea-level pressure",
    "10u": "10 m zonal wind",
    "10v": "10 m meridional wind",
    "z": "geopotential",
    "t": "temperature",
    "u": "zonal wind",
    "v": "meridional wind",
    "q": "specific humidity",
    "10wind": "10 m wind vector",
    "wind": "wind vector",
}


def draw_scorecard(table: ScoreTable, path: Path) -> None:
    """Write a PNG: rows are fields, columns leads, one panel a region; colours are 100 (RMSE / RMSE_x - 1) percent.

    x is the reference or, without one, the climatology. Raises BadRequest if there is neither.
    """
    against, name = _baseline(table)
    regions = list(dict.fromkeys(row.region for row in table.rows))
    fields = list(dict.fromkeys(row.field for row in table.rows))
    leads: list[float | None] = [*sorted({row.lead_h for row in table.rows if row.lead_h is not None})] or [None]
    percents = [_percents([r for r in table.rows if r.region == region], fields, leads, against) for region in regions]
    if not any(np.isfinite(percent).any() for percent in percents):
        raise BadRequest(f"nothing to draw: no field has an error of {name} other than zero")
    limit = _limit(percents)

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = _size(len(fields), len(leads), len(regions))
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    parts = figure.add_gridspec(2, len(regions), height_ratios=[height - 0.16, 0.16])
    panels = [figure.add_subplot(parts[0, column]) for column in range(len(regions))]
    for panel, region, percent in zip(panels, regions, percents, strict=True):
        _panel(panel, percent, fields, leads, limit, written=len(leads) * len(regions) <= 24)
        panel.set_title(region, fontsize=10, color=_INK, loc="left", pad=6)
        panel.set_yticks([])
    _label_fields(panels[0], fields)
    bar = figure.colorbar(
        panels[0].images[0],
        cax=figure.add_subplot(parts[1, :]),
        orientation="horizontal",
        extend="both",
        extendfrac=0.02,
    )
    bar.set_label(f"RMSE against {name}, percent    (blue: better)", fontsize=9, color=_INK)
    bar.ax.tick_params(labelsize=8, colors=_INK, length=0)
    bar.outline.set_visible(False)
    figure.suptitle(_title(table, name), fontsize=11, color=_INK, ha="left", x=0.01)
    try:
        figure.savefig(path, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": ""})
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror or error}") from error


def _baseline(table: ScoreTable) -> tuple[str, str]:
    """Which metric to compare with, and what it is called."""
    if table.reference is not None:
        return "rmse_ref", "the reference"
    if table.climatology is not None:
        return "rmse_clim", "climatology"
    raise BadRequest("a scorecard compares: give --reference, or at least --climatology")


def _percents(
    rows: Sequence[ScoreRow], fields: Sequence[FieldId], leads: Sequence[float | None], against: str
) -> NDArray[np.float64]:
    """(n_fields, n_leads), NaN where there is nothing to compare."""
    percent = np.full((len(fields), len(leads)), np.nan)
    for row in rows:
        baseline = getattr(row.metrics, against)
        if baseline:
            percent[fields.index(row.field), leads.index(row.lead_h)] = 100.0 * (row.metrics.rmse / baseline - 1.0)
    return percent


def _limit(percents: Sequence[NDArray[np.float64]]) -> float:
    every = np.concatenate([np.abs(percent[np.isfinite(percent)]) for percent in percents])
    most = float(np.quantile(every, 0.9))
    return next((limit for limit in _FULL_COLOUR_PERCENT if most <= limit), _FULL_COLOUR_PERCENT[-1])


def _panel(
    panel: Axes,
    percent: NDArray[np.float64],
    fields: Sequence[FieldId],
    leads: Sequence[float | None],
    limit: float,
    *,
    written: bool,
) -> None:
    panel.imshow(np.ma.masked_invalid(percent), cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    panel.set_facecolor("#e8ebee")
    in_days = max(lead or 0.0 for lead in leads) > 96.0
    named = [(i, lead) for i, lead in enumerate(leads) if lead is not None and (not in_days or lead % 24.0 == 0.0)]
    named = named[:: max(1, len(named) // 12)]
    panel.set_xticks(
        [i for i, _ in named], [f"{lead / 24 if in_days else lead:g}" for _, lead in named], fontsize=8, color=_INK
    )
    panel.set_xlabel("lead time, days" if in_days else "lead time, hours", fontsize=9, color=_INK)
    panel.tick_params(length=0)
    for spine in panel.spines.values():
        spine.set_visible(False)
    panel.set_xticks(np.arange(len(leads) + 1) - 0.5, minor=True)
    panel.set_yticks(np.arange(len(fields) + 1) - 0.5, minor=True)
    panel.grid(which="minor", color="white", linewidth=1.2)
    panel.tick_params(which="minor", length=0)
    for row in _group_starts(fields)[1:]:
        panel.axhline(row - 0.5, color=_FAINT, linewidth=0.9)
    if not written:
        return
    for (row, column), value in np.ndenumerate(percent):
        if np.isfinite(value):
            colour = "white" if abs(value) > 0.65 * limit else _INK
            panel.text(column, row, _cell(float(value)), ha="center", va="center", fontsize=7, color=colour)


def _cell(value: float) -> str:
    return f"{value:+.0f}" if abs(value) >= 9.95 else f"{value:+.1f}"


def _label_fields(panel: Axes, fields: Sequence[FieldId]) -> None:
    """Levels beside the rows; a variable's name once, beside its group."""
    labels = []
    for name, group in groupby(fields, key=lambda f: f.variable):
        for place, field in enumerate(group):
            long = _LONG_NAMES.get(name, name) if place == 0 else ""
            level = "" if field.level_hpa is None else f"  {field.level_hpa} hPa"
            labels.append(f"{long}{level}")
    panel.set_yticks(range(len(fields)), labels, fontsize=8, color=_INK)


def _group_starts(fields: Sequence[FieldId]) -> list[int]:
    return [i for i, f in enumerate(fields) if i == 0 or f.variable != fields[i - 1].variable]


def _title(table: ScoreTable, name: str) -> str:
    cases = sorted({row.cases for row in table.rows})
    starts = f"{cases[0]}" if len(cases) == 1 else f"{cases[0]} to {cases[-1]}"
    rival = f" against {_short(table.reference)}" if table.reference is not None and name == "the reference" else ""
    plural = "" if cases == [1] else "s"
    return f"{_short(table.forecast)}{rival}\nverified with {_short(table.truth)}, {starts} start{plural}, {table.grid}"


def _short(path: str) -> str:
    name = Path(path).name
    return name if len(name) <= 48 else f"{name[:45]}..."


def _size(fields: int, leads: int, regions: int) -> tuple[float, float]:
    width = 2.4 + regions * max(leads, 4) * (
        _CELL_INCHES[0] if leads * regions <= 24 else 7.0 / (leads * regions) + 0.12
    )
    return max(width, 6.4), 2.3 + max(fields, 3) * _CELL_INCHES[1]
