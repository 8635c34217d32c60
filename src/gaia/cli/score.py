"""`gaia score`: a forecast of anybody's against the weather, from files, without a validator."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gaia.cli.exit import MISUSED, fail, plain_errors

if TYPE_CHECKING:
    from gaia.tasks.defined_tasks.weather.evaluation.request import Request
    from gaia.tasks.defined_tasks.weather.evaluation.table import ScoreTable

_STDOUT = Path("-")
_NO_TERMINAL = 10_000
"""So wide that a pipe or file gets every column."""


def score(  # noqa: PLR0917  typer reads its options from here
    forecast: Annotated[
        list[str],
        typer.Argument(
            metavar="FORECAST", help="Zarr, NetCDF, GRIB or flat stores, starts merged; 'fc?member=0' is one member."
        ),
    ],
    truth: Annotated[
        str, typer.Argument(metavar="TRUTH", help="Analyses at the valid times. Any file may be a pattern, 'an_*.nc'.")
    ],
    climatology: Annotated[str | None, typer.Option(help="By dayofyear and hour, by month, or one field.")] = None,
    reference: Annotated[str | None, typer.Option(help="A forecast to compare with.")] = None,
    extremes: Annotated[
        str | None, typer.Option(help="Thresholds, such as the climatological 95th percentile: hits and false alarms.")
    ] = None,
    mask: Annotated[
        str | None, typer.Option(help="A land-sea mask, FILE or FILE:variable: land and sea apart, too.")
    ] = None,
    leads: Annotated[str | None, typer.Option(help="Hours, such as 24,48. Default: all that have a truth.")] = None,
    variables: Annotated[str | None, typer.Option(help="Such as z500,wind850,2t. Default: all in both files.")] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(
            help="global, tropics, nh, sh, europe ..., or box:SOUTH,NORTH,WEST,EAST; with --mask also land, "
            "tropics-sea ...; may be repeated."
        ),
    ] = None,
    grid: Annotated[float | None, typer.Option(help="Regrid everything conservatively to so many degrees.")] = None,
    pick_points: Annotated[
        bool, typer.Option("--pick-points", help="Take the forecast's points out of finer grids.")
    ] = False,
    persistence: Annotated[
        bool, typer.Option("--persistence", help="Skill against the truth at the start, too.")
    ] = False,
    init_time: Annotated[str | None, typer.Option(help="When the forecast started, if its file does not say.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the scores; - for stdout.")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write the scores; - for stdout.")] = None,
    parquet_file: Annotated[Path | None, typer.Option("--parquet", help="Write the scores (needs pyarrow).")] = None,
    png_file: Annotated[
        Path | None, typer.Option("--png", help="Draw a scorecard against the reference (matplotlib).")
    ] = None,
) -> None:
    """Score a forecast against the weather, by variable and lead, with the validator's own functions."""
    if json_file == csv_file == _STDOUT:
        fail("only one of --json and --csv can go to stdout", MISUSED)
    if png_file is not None and reference is None and climatology is None:
        fail("--png compares with a reference: give --reference, or at least --climatology", MISUSED)
    from gaia.tasks.defined_tasks.weather.evaluation.report import require_installed
    from gaia.tasks.defined_tasks.weather.evaluation.request import (
        Request,
        parse_areas,
        parse_leads,
        parse_time,
        parse_variables,
    )

    with plain_errors():
        _refuse_unwritable(json_file, csv_file, parquet_file, png_file)
        if parquet_file is not None:
            require_installed("pyarrow", "Parquet")
        if png_file is not None:
            require_installed("matplotlib", "A scorecard")
        request = Request(
            forecast=tuple(forecast),
            truth=truth,
            climatology=climatology,
            reference=reference,
            extremes=extremes,
            mask=mask,
            leads=parse_leads(leads),
            variables=parse_variables(variables),
            areas=parse_areas(region or ["global"], mask=mask is not None),
            grid_degrees=grid,
            pick_points=pick_points,
            persistence=persistence,
            init_time=parse_time(init_time),
        )
        table = _evaluate(request)
        for warning in table.warnings:
            print(f"gaia: warning: {warning}", file=sys.stderr)
        _write(table, json_file, csv_file, parquet_file, png_file)


def _refuse_unwritable(*paths: Path | None) -> None:
    """Before anything is scored, so that an hour's work does not end at a folder that is not there."""
    for path in paths:
        if path is None or path == _STDOUT:
            continue
        if path.is_dir() or not path.parent.is_dir():
            fail(f"cannot write {path}: {os.strerror(errno.EISDIR if path.is_dir() else errno.ENOENT)}", MISUSED)
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            fail(f"cannot write {path}: {os.strerror(errno.EACCES)}", MISUSED)


def _evaluate(request: Request) -> ScoreTable:
    """With a bar on stderr, where somebody watches and it takes long enough to be seen."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from gaia.tasks.defined_tasks.weather.evaluation.evaluate import evaluate

    columns = (TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), TextColumn("fields"), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("fields", total=None)
        return evaluate(request, lambda done, total: progress.update(bar, completed=done, total=total))


def _write(
    table: ScoreTable, json_file: Path | None, csv_file: Path | None, parquet_file: Path | None, png_file: Path | None
) -> None:
    from rich.console import Console

    from gaia.tasks.defined_tasks.weather.evaluation import report

    for path, to_text in ((json_file, report.to_json), (csv_file, report.to_csv)):
        if path == _STDOUT:
            print(to_text(table), end="")
        elif path is not None:
            report.write_text(path, to_text(table))
    if parquet_file is not None:
        report.to_parquet(table, parquet_file)
    if png_file is not None:
        from gaia.tasks.defined_tasks.weather.evaluation.scorecard import draw_scorecard

        draw_scorecard(table, png_file)
    if _STDOUT not in (json_file, csv_file):
        report.print_table(table, Console(width=None if sys.stdout.isatty() else _NO_TERMINAL))
