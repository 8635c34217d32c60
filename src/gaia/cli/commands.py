"""The commands: where each lives, its help without importing it, and what happens where one lacks a package."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

_MODULES = {
    "up": "up",
    "demo": "demo",
    "runs": "runs",
    "leaderboard": "runs",
    "explain": "explain",
    "score": "score",
    "miner": "miner",
    "key": "key",
    "register": "register",
    "config": "config",
}
"""Commands in the order of the help. Each is the function of its name in this module of this package."""


class Commands(TyperGroup):
    """All commands, none of them imported."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name, module in _MODULES.items():
            self.add_command(_CommandLater(name, module))

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for; one line and status 2 where a package for it is not installed."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            missing = (error.name or "gaia").partition(".")[0]
            if missing == "gaia":  # a defect of ours
                raise
            from gaia.cli.exit import MISUSED, fail

            what = f"gaia {ctx.invoked_subcommand} needs {missing}, which is not installed"
            fail(f"{what}: pip install 'gaia-validator[validator]'", MISUSED)


class _CommandLater(TyperCommand):
    """A name and a help text; becomes the command when it is called."""

    def __init__(self, name: str, module: str) -> None:
        self._module = module
        super().__init__(name, help=_docstring(Path(__file__).with_name(f"{module}.py"), name))

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """The context of the command itself, which runs in it."""
        only = typer.Typer(add_completion=False)
        only.command()(getattr(importlib.import_module(f"gaia.cli.{self._module}"), str(self.name)))
        return get_command(only).make_context(*arguments, **options)


def _docstring(file: Path, function: str) -> str | None:
    """Read from the source, for importing it would bring what it imports."""
    (found,) = (
        node
        for node in ast.parse(file.read_bytes()).body
        if isinstance(node, ast.FunctionDef) and node.name == function
    )
    return ast.get_docstring(found)
