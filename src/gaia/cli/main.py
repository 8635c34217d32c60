"""`gaia`: lists the commands. Imports one, and the libraries that it needs, when it is called."""

from __future__ import annotations

import typer

from gaia import __version__
from gaia.cli.commands import Commands

app = typer.Typer(
    name="gaia",
    cls=Commands,
    help="The validator of Bittensor subnet 57: asks for weather forecasts, scores them, sets the weights.",
    epilog="A task of GAIA_TASKS may have commands of its own: gaia TASK --help.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        typer.echo(f"gaia {__version__}")
        raise typer.Exit


if __name__ == "__main__":
    app()
