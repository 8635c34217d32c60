"""`gaia stations ...`."""

from __future__ import annotations

import typer

from tests.support.stations.messages import COUNT

app = typer.Typer(help="Tomorrow's temperature at stations.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `count` a command of its own."""


@app.command()
def count() -> None:
    """Print how many stations there are."""
    print(COUNT)
