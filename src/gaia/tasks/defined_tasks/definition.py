"""The definition of a task: its name and number, and where its parts are.

The parts are named by text, and each process imports only the parts that it uses. Workers use the handlers, the
database's set-up uses the migrations, commands use the views, and the IO-Engine alone uses the task itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import FieldInfo

from gaia.contracts.errors import ConfigurationError
from gaia.contracts.ids import TASK_NAME
from gaia.contracts.setting import TaskSection

_TAKEN: Final = ("gaia", "validator")
"""Reserved names: the tables that all tasks share belong to `gaia`, and their jobs to `validator`."""


class BadTask(ConfigurationError):
    """A task's definition contradicts itself or another definition."""


class TaskDefinition(Struct, frozen=True, kw_only=True):
    """One task, for the table in `registry` or for `GAIA_TASKS`."""

    name: str
    """It is part of run ids, and the names of the task's handlers, jobs and tables begin with it."""
    number: int
    """1 to 255. It never changes, because data on the chain names the task by it."""
    build: str
    """`module:function` that makes the GaiaTask from its section of the settings."""
    handlers: Mapping[str, str]
    """The functions that workers may call: name -> `module:function`. Each name begins with the task's and a dot."""
    settings: type[TaskSection] = TaskSection
    """The type of its settings. The variable GAIA_<prefix>X sets the field `x`."""
    prefix: str | None = None
    """The prefix of its variables, after GAIA_. None: the task's name and an underscore."""
    migrations: Path | None = None
    """The folder of its Alembic revisions. None: the task has no tables."""
    views: str | None = None
    """`module:attribute` of its `TaskViews`, for `gaia runs`, `leaderboard` and `explain`."""
    commands: str | None = None
    """`module:attribute` of a Typer application, for `gaia <name> ...`."""

    def __post_init__(self) -> None:
        if not TASK_NAME.fullmatch(self.name) or not 1 <= self.number <= 255:
            raise BadTask(f"a task has a name of up to 16 of a-z, 0-9 and _ and a number from 1 to 255, not {self}")
        if self.name in _TAKEN:
            raise BadTask(f"a task cannot be called {self.name}: that is the validator's own")
        strange = [name for name in self.handlers if not name.startswith(f"{self.name}.")]
        if strange:
            raise BadTask(f"the task {self.name} may only have handlers called {self.name}.*, not {strange[0]!r}")

    def variable(self, field: str) -> str:
        """The variable that sets one of its settings.

        >>> TaskDefinition(name="stations", number=2, build="m:f", handlers={}).variable("truth")
        'GAIA_STATIONS_TRUTH'
        """
        prefix = f"{self.name}_" if self.prefix is None else self.prefix
        return f"GAIA_{prefix}{field}".upper()

    def fields(self) -> dict[str, FieldInfo]:
        """The field of each of its settings by the variable that sets it."""
        return {self.variable(field.name): field for field in msgspec.structs.fields(self.settings)}

    def section(self, values: Mapping[str, Any]) -> TaskSection:
        """Its settings, made from values by variable. A missing value has its default."""
        told = {field.name: values[variable] for variable, field in self.fields().items() if variable in values}
        return msgspec.convert(told, self.settings, dec_hook=lambda kind, value: kind(value))

    def by_variable(self, section: TaskSection) -> dict[str, Any]:
        """The inverse of `section`: all values, as JSON values."""
        values: dict[str, Any] = msgspec.to_builtins(section, enc_hook=str)
        return {self.variable(name): value for name, value in values.items()}
