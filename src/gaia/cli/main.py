"""`gaia`: collects the commands. Imports none of their libraries until one is called."""

from __future__ import annotations

import typer

from gaia import __version__
from gaia.cli.config import config
from gaia.cli.demo import demo
from gaia.cli.explain import explain
from gaia.cli.key import key
from gaia.cli.miner import miner
from gaia.cli.register import register
from gaia.cli.runs import leaderboard, runs
from gaia.cli.score import score
from gaia.cli.up import up

app = typer.Typer(
    name="gaia",
    help="The validator of Bittensor subnet 57: asks for weather forecasts, scores them, sets the weights.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        typer.echo(f"gaia {__version__}")
        raise typer.Exit


for command in (up, demo, runs, leaderboard, explain, score, miner, key, register, config):
    app.command()(command)

if __name__ == "__main__":
    app()
