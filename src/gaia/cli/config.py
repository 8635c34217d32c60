"""`gaia config`: the effective settings."""

from __future__ import annotations

import json

import typer

from gaia.cli.exit import plain_errors


def config(as_json: bool = typer.Option(False, "--json", help="Print JSON.")) -> None:
    """Print every setting with its value and its meaning. Passwords are hidden."""
    from rich.console import Console
    from rich.table import Table

    from gaia.tasks.defined_tasks.registry import defined_tasks
    from gaia.validator.utils.config import fields_by_variable, load_settings
    from gaia.validator.utils.settings import about

    with plain_errors():
        settings = load_settings()
        fields = fields_by_variable(defined_tasks(settings.tasks))
    values = settings.shown()
    if as_json:
        print(json.dumps(values, indent=2))
        return
    table = Table("setting", box=None, pad_edge=False)
    table.add_column("value", overflow="fold")
    table.add_column("meaning", overflow="fold")
    for variable, field in fields.items():
        table.add_row(variable, _text(values[variable]), about(field).meaning)
    Console().print(table)


def _text(value: object) -> str:
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
