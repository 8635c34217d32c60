"""Writes a table of scores as a JSON, CSV or Parquet file, or as lines of text for a terminal.

Owns the columns and their order, which are the same in all forms. Never rounds what it writes to a file.
"""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gaia.contracts.errors import ConfigurationError
from gaia.tasks.defined_tasks.weather.evaluation.table import ScoreRow, ScoreTable
from gaia.tasks.defined_tasks.weather.files.errors import BadRequest
from gaia.tasks.defined_tasks.weather.scoring.comoments import Activity
from gaia.tasks.defined_tasks.weather.scoring.ensemble import EnsembleMetrics
from gaia.tasks.defined_tasks.weather.scoring.extremes import ExtremeMetrics
from gaia.tasks.defined_tasks.weather.scoring.field_summary import FieldMetrics

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_HEAD = ("forecast", "truth", "climatology", "reference", "extremes", "mask", "grid")
ROW_KEYS = ("variable", "level_hpa", "lead_h", "region", "unit", "cases")

# The columns in a terminal: (heading, how to get the value, its format). Errors have the variable's unit.
_Shown = tuple[str, Callable[[ScoreRow], float | None], str]
_SHOWN: tuple[_Shown, ...] = (
    ("RMSE", lambda r: r.metrics.rmse, ".4g"),
    ("bias", lambda r: r.metric("bias"), "+.3g"),
    ("MAE", lambda r: r.metric("mae"), ".4g"),
    ("ACC", lambda r: r.metric("acc"), ".3f"),
    ("centred", lambda r: r.metric("acc_centred"), ".3f"),
    ("skill/clim", lambda r: r.metrics.skill_clim, "+.3f"),
    ("skill/ref", lambda r: r.metrics.skill_ref, "+.3f"),
    ("skill/pers", lambda r: r.metrics.skill_persistence, "+.3f"),
    ("RMSE/ref", lambda r: _percent(r.metrics.rmse, r.metrics.rmse_ref), "+.1f%"),
    ("CRPS fair", lambda r: r.ensemble.fair_crps if r.ensemble else None, ".4g"),
    ("spread/skill", lambda r: r.ensemble.spread_skill_ratio if r.ensemble else None, ".2f"),
    ("hit rate", lambda r: found.hit_rate if (found := _extremes(r)) else None, ".2f"),
    ("false al.", lambda r: found.false_alarm_rate if (found := _extremes(r)) else None, ".2f"),
)
_SPARED_FIRST = ("centred", "MAE", "RMSE/ref", "skill/pers", "bias", "spread/skill", "skill/clim", "false al.", "ACC")
"""The columns that a narrow terminal leaves out, in this order."""
_ANY_WIDTH = 10_000
_PLAIN = tuple(name for name in FieldMetrics.__struct_fields__ if name not in {"activity", "extremes"})


def records(table: ScoreTable) -> Iterator[dict[str, Any]]:
    """Every row as plain values, with the same keys in the same order. None: the metric is not available."""
    has_ensemble = any(row.ensemble for row in table.rows)
    for row in table.rows:
        values = {name: getattr(row, name) for name in ROW_KEYS} | {name: row.metric(name) for name in _PLAIN}
        of_field = row.metrics if isinstance(row.metrics, FieldMetrics) else None
        values |= _prefixed("activity", of_field and of_field.activity, Activity)
        if table.extremes is not None:
            values |= _prefixed("extremes", _extremes(row), ExtremeMetrics)
        if has_ensemble:
            values |= _prefixed("ensemble", row.ensemble, EnsembleMetrics)
        yield values


def _extremes(row: ScoreRow) -> ExtremeMetrics | None:
    return row.metrics.extremes if isinstance(row.metrics, FieldMetrics) else None


def _prefixed(prefix: str, values: msgspec.Struct | None, of: type[msgspec.Struct]) -> dict[str, Any]:
    return {f"{prefix}_{name}": None if values is None else getattr(values, name) for name in of.__struct_fields__}


def to_json(table: ScoreTable) -> str:
    """The names of the files, the warnings and the rows, as JSON."""
    head = {name: getattr(table, name) for name in _HEAD}
    whole = {**head, "warnings": table.warnings, "scores": list(records(table))}
    return msgspec.json.format(msgspec.json.encode(whole)).decode() + "\n"


def to_csv(table: ScoreTable) -> str:
    """A heading and one line for each row. An empty cell: the metric is not available."""
    text = io.StringIO()
    rows = list(records(table))
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def require_installed(package: str, form: str) -> None:
    """Raise BadRequest if the package for this form of the scores is not installed.

    Scoring itself needs neither pyarrow (170 MB) nor matplotlib (80 MB), so they are optional.
    """
    if importlib.util.find_spec(package) is None:
        raise BadRequest(f"{form} needs {package}: pip install {package}, or write --csv or --json instead")


def to_parquet(table: ScoreTable, path: Path) -> None:
    """Write a Parquet file. Raises BadRequest if pyarrow is not installed."""
    require_installed("pyarrow", "Parquet")
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(records(table))), path)


def write_text(path: Path, text: str) -> None:
    """Write a text file. Raises ConfigurationError if that fails."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror or error}") from error


def print_table(table: ScoreTable, console: Console) -> None:
    """Print a line for each variable and lead, with the columns that hold a value and fit the width of the console."""
    from rich.measure import Measurement

    shown = [column for column in _SHOWN if any(column[1](row) is not None for row in table.rows)]
    spared = [name for name in _SPARED_FIRST if name in {column[0] for column in shown}]
    for count in range(len(spared) + 1):
        fitting = [column for column in shown if column[0] not in spared[:count]]
        drawn = _drawn(table, fitting)
        width = Measurement.get(console, console.options.update_width(_ANY_WIDTH), drawn).maximum
        if width <= console.width or count == len(spared):
            break
    console.print(drawn, width=width, crop=False)  # a table that is still too wide is wrapped, not cut
    if count:
        console.print(f"The terminal is too narrow for {', '.join(spared[:count])}: widen it, or use --csv or --json.")


def _drawn(table: ScoreTable, shown: Sequence[_Shown]) -> Table:
    from rich.table import Table

    several_regions = len({row.region for row in table.rows}) > 1
    partial = any(row.metrics.coverage < 1.0 for row in table.rows)
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
    """The cells of field, unit and region; empty unless this is the first line of a group of leads."""
    cells = [str(row.field), row.unit, *([row.region] if several_regions else [])]
    return [""] * len(cells) if repeated else cells


def _percent(rmse: float, rmse_ref: float | None) -> float | None:
    """How much larger the RMSE is than the reference's, in percent."""
    return 100.0 * (rmse / rmse_ref - 1.0) if rmse_ref else None


def _written(value: float | None, form: str) -> str:
    if value is None:
        return ""
    return f"{value:{form[:-1]}} %" if form.endswith("%") else f"{value:{form}}"
