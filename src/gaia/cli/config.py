"""`gaia config`: the effective settings."""

from __future__ import annotations

import json

import typer

from gaia.cli.exit import plain_errors


def config(as_json: bool = typer.Option(False, "--json", help="As JSON.")) -> None:
    """Print every setting, its value and its meaning; passwords are hidden."""
    from rich.console import Console
    from rich.table import Table

    from gaia.validator.utils.config import Settings, load_settings, masked, variable_name

    with plain_errors():
        values = masked(load_settings())
    if as_json:
        print(json.dumps(values, indent=2))
        return
    table = Table("setting", box=None, pad_edge=False)
    table.add_column("value", overflow="fold")
    table.add_column("meaning", overflow="fold")
    for name, field in Settings.model_fields.items():
        value = values[variable_name(name)]
        table.add_row(variable_name(name), _text(value), field.description)
    Console().print(table)


def _text(value: object) -> str:
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict) and "format" in value:
        return f"{value['format']}:{value['path']}"
    return str(value)
