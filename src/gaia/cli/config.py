"""`gaia config`: the effective settings."""

from __future__ import annotations

import json

import typer

from gaia.cli.exit import plain_errors


def config(as_json: bool = typer.Option(False, "--json", help="As JSON.")) -> None:
    """Print every setting, its value and its meaning; passwords are hidden."""
    from rich.console import Console
    from rich.table import Table

    from gaia.validator.utils.config import load_settings
    from gaia.validator.utils.settings import about, fields_by_variable

    with plain_errors():
        values = load_settings().shown()
    if as_json:
        print(json.dumps(values, indent=2))
        return
    table = Table("setting", box=None, pad_edge=False)
    table.add_column("value", overflow="fold")
    table.add_column("meaning", overflow="fold")
    for variable, field in fields_by_variable().items():
        table.add_row(variable, _text(values[variable]), about(field).meaning)
    Console().print(table)


def _text(value: object) -> str:
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
