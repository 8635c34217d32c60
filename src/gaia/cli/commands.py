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

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or a task's own commands: `gaia TASK ...`."""
        return super().get_command(ctx, cmd_name) or _commands_of_task(cmd_name)

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


def _commands_of_task(name: str) -> Any:
    """What a task of GAIA_TASKS brings for the command line; None if there is none of that name."""
    try:
        from gaia.cli.exit import plain_errors
        from gaia.tasks.defined_tasks.registry import defined_tasks, load
        from gaia.validator.utils.config import named_tasks
    except ModuleNotFoundError:  # without the validator's packages there are no tasks
        return None
    with plain_errors():
        commands = {task.name: task.commands for task in defined_tasks(named_tasks())}
        reference = commands.get(name)
        return None if reference is None else get_command(load(reference))


def _docstring(file: Path, function: str) -> str | None:
    """Read from the source, for importing it would bring what it imports."""
    (found,) = (
        node
        for node in ast.parse(file.read_bytes()).body
        if isinstance(node, ast.FunctionDef) and node.name == function
    )
    return ast.get_docstring(found)
