"""A table of scores as JSON, CSV and Parquet files, and as lines of text for a terminal.

Owns the columns and their order, which are the same in all forms. Never rounds what it writes to a file.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gaia.contracts.errors import ConfigurationError
from gaia.tasks.defined_tasks.weather.evaluation.errors import BadRequest
from gaia.tasks.defined_tasks.weather.evaluation.table import ScoreRow, ScoreTable
from gaia.tasks.defined_tasks.weather.scoring.comoments import Activity
from gaia.tasks.defined_tasks.weather.scoring.ensemble import EnsembleMetrics

if TYPE_CHECKING:
    from rich.table import Table

_KEYS = ("variable", "level_hpa", "lead_h", "region", "unit", "cases")

# What a terminal shows: (heading, how to get it, how to write it); errors have the variable's unit.
_Shown = tuple[str, Callable[[ScoreRow], float | None], str]
_SHOWN: tuple[_Shown, ...] = (
    ("RMSE", lambda r: r.metrics.rmse, ".4g"),
    ("bias", lambda r: r.metrics.bias, "+.3g"),
    ("MAE", lambda r: r.metrics.mae, ".4g"),
    ("ACC", lambda r: r.metrics.acc, ".3f"),
    ("centred", lambda r: r.metrics.acc_centred, ".3f"),
    ("skill/clim", lambda r: r.metrics.skill_clim, "+.3f"),
    ("skill/ref", lambda r: r.metrics.skill_ref, "+.3f"),
    ("skill/pers", lambda r: r.metrics.skill_persistence, "+.3f"),
    ("RMSE/ref", lambda r: _percent(r.metrics.rmse, r.metrics.rmse_ref), "+.1f%"),
    ("CRPS fair", lambda r: r.ensemble.fair_crps if r.ensemble else None, ".4g"),
    ("spread/skill", lambda r: r.ensemble.spread_skill_ratio if r.ensemble else None, ".2f"),
)


def records(table: ScoreTable) -> Iterator[dict[str, Any]]:
    """Every row as plain values under the same keys in the same order; None where a metric cannot be had."""
    has_ensemble = any(row.ensemble for row in table.rows)
    for row in table.rows:
        metrics: dict[str, Any] = msgspec.to_builtins(row.metrics)
        del metrics["extremes"]  # they need a threshold, which no file of an evaluation gives
        metrics |= _prefixed("activity", metrics.pop("activity"), Activity)
        if has_ensemble:
            metrics |= _prefixed("ensemble", msgspec.to_builtins(row.ensemble), EnsembleMetrics)
        yield {name: getattr(row, name) for name in _KEYS} | metrics


def _prefixed(prefix: str, values: dict[str, Any] | None, of: type[msgspec.Struct]) -> dict[str, Any]:
    return {f"{prefix}_{name}": None if values is None else values[name] for name in of.__struct_fields__}


def to_json(table: ScoreTable) -> str:
    """What was scored, the warnings, and the rows."""
    head = {name: getattr(table, name) for name in ("forecast", "truth", "climatology", "reference", "grid")}
    whole = {**head, "warnings": table.warnings, "scores": list(records(table))}
    return msgspec.json.format(msgspec.json.encode(whole)).decode() + "\n"


def to_csv(table: ScoreTable) -> str:
    """A heading and one line a row; an empty cell where a metric cannot be had."""
    text = io.StringIO()
    rows = list(records(table))
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_parquet(table: ScoreTable, path: Path) -> None:
    """One column group; needs pyarrow, which is 170 MB and so not installed with Gaia. Raises BadRequest."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise BadRequest("Parquet needs pyarrow: pip install pyarrow, or write --csv or --json instead") from None
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(records(table))), path)


def write_text(path: Path, text: str) -> None:
    """Raises ConfigurationError where the machine does not take it."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror or error}") from error


def shown_table(table: ScoreTable) -> Table:
    """For a terminal: a line for each variable and lead, only columns that hold something."""
    from rich.table import Table

    several_regions = len({row.region for row in table.rows}) > 1
    partial = any(row.metrics.coverage < 1.0 for row in table.rows)
    shown = [column for column in _SHOWN if any(column[1](row) is not None for row in table.rows)]
    drawn = Table(box=None, pad_edge=False)
    for heading in ("field", "unit", *(["region"] if several_regions else [])):
        drawn.add_column(heading, no_wrap=True)
    for heading in ("lead", "cases", *(column[0] for column in shown), *(["coverage"] if partial else [])):
        drawn.add_column(heading, justify="right", no_wrap=True)
    before = None
    for row in table.rows:
        here = (row.field, row.region)
        drawn.add_row(
            *_identity(row, here == before, several_regions),
            "" if row.lead_h is None else f"{row.lead_h:g} h",
            str(row.cases),
            *(_written(get(row), form) for _, get, form in shown),
            *([f"{row.metrics.coverage:.1%}"] if partial else []),
        )
        before = here
    return drawn


def _identity(row: ScoreRow, repeated: bool, several_regions: bool) -> list[str]:
    """Field, unit and region; only in the first line of a group of leads."""
    cells = [str(row.field), row.unit, *([row.region] if several_regions else [])]
    return [""] * len(cells) if repeated else cells


def _percent(rmse: float, rmse_ref: float | None) -> float | None:
    """How much larger the RMSE is than the reference's, in percent."""
    return 100.0 * (rmse / rmse_ref - 1.0) if rmse_ref else None


def _written(value: float | None, form: str) -> str:
    if value is None:
        return ""
    return f"{value:{form[:-1]}} %" if form.endswith("%") else f"{value:{form}}"
