"""`gaia demo`: watch a validator ask miners for forecasts, catch a cheat, score the rest, and set weights."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from gaia.cli.exit import fail, plain_errors


def demo(  # noqa: PLR0917  typer reads its options from here
    truth: Annotated[
        str | None,
        typer.Option(help="A GRIB or NetCDF file of real analyses, to forecast from and to score against."),
    ] = None,
    member: Annotated[int | None, typer.Option(help="The ensemble member of --truth to use.")] = None,
    climatology: Annotated[str | None, typer.Option(help="A climatology for --truth.")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Your own model as one more miner: FILE.py:factory or package.module:factory."),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="A new or empty folder for all files. Default: a temporary folder."),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Write the result to this file as JSON."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="The number of compute workers.")] = 2,
    commit_window_s: Annotated[
        float | None,
        typer.Option(
            min=2.0, max=600.0, help="The seconds that miners have for their forecasts. Default: by the machine's load."
        ),
    ] = None,
) -> None:
    """Show one whole run on this machine: embedded database, validator, miners over HTTP, simulated chain."""
    if truth is None and (member is not None or climatology is not None):
        fail("--member and --climatology describe --truth; give it too", 2)
    with plain_errors():
        from gaia.demonstration.demo import Options, run_demo
        from gaia.demonstration.view import TerminalView

        options = Options(
            truth=truth,
            member=member,
            climatology=climatology,
            model=model,
            data_dir=data_dir,
            json_file=json_file,
            workers=workers,
            commit_window_s=commit_window_s,
        )
        # SIGTERM ends the demonstration in the same orderly way as Ctrl-C.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with TerminalView() as view:
            run_demo(options, view)
