"""The table of commands. The help is shown without importing them, and a missing package gives one plain line."""

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
    """All commands. A command is imported when it is called."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name, module in _MODULES.items():
            self.add_command(_CommandLater(name, module))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or a task's own commands: `gaia TASK ...`."""
        return super().get_command(ctx, cmd_name) or _commands_of_task(cmd_name)

    def invoke(self, ctx: Any) -> Any:
        """Run the command. If a package for it is not installed, print one line and exit with status 2."""
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
    """The name and the help text of a command, which is imported when it is called."""

    def __init__(self, name: str, module: str) -> None:
        self._module = module
        super().__init__(name, help=_docstring(Path(__file__).with_name(f"{module}.py"), name))

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Import the command, and make its context."""
        only = typer.Typer(add_completion=False)
        only.command()(getattr(importlib.import_module(f"gaia.cli.{self._module}"), str(self.name)))
        return get_command(only).make_context(*arguments, **options)


def _commands_of_task(name: str) -> Any:
    """The commands of the task with this name in GAIA_TASKS; None if there are none."""
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
    """The docstring of a function, read from the source. An import would also load everything that the file imports."""
    (found,) = (
        node
        for node in ast.parse(file.read_bytes()).body
        if isinstance(node, ast.FunctionDef) and node.name == function
    )
    return ast.get_docstring(found)
