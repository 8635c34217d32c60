"""What is known of a task before it is built: its name and number, and where its parts are.

The parts are named by text and imported on use: a worker needs the handlers, the database's set-up the migrations, a
command the views, and only the IO-Engine the task itself.
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
"""What all tasks share is called so: the history of its tables, and the kinds of its jobs."""


class BadTask(ConfigurationError):
    """A task's definition contradicts itself, or another one's."""


class TaskDefinition(Struct, frozen=True, kw_only=True):
    """One task, for the table in `registry` or for `GAIA_TASKS`."""

    name: str
    """Stands in run ids and before the names of its handlers, jobs and tables."""
    number: int
    """1 to 255, for ever this task's: what is written on the chain names its task by it."""
    build: str
    """`module:function` that makes the GaiaTask of its section of the settings."""
    handlers: Mapping[str, str]
    """What workers may be asked for: name -> `module:function`. Each name begins with the task's and a dot."""
    settings: type[TaskSection] = TaskSection
    """Each field `x` is set by the variable GAIA_<prefix>X."""
    prefix: str | None = None
    """Of its variables; None: the task's name in capitals and an underscore."""
    migrations: Path | None = None
    """Folder of Alembic revisions, a history of its own; None: the task keeps nothing in the database."""
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
        """The environment's name of one of its settings.

        >>> TaskDefinition(name="stations", number=2, build="m:f", handlers={}).variable("truth")
        'GAIA_STATIONS_TRUTH'
        """
        prefix = f"{self.name}_" if self.prefix is None else self.prefix
        return f"GAIA_{prefix}{field}".upper()

    def fields(self) -> dict[str, FieldInfo]:
        """The field of each of its settings by the variable that sets it."""
        return {self.variable(field.name): field for field in msgspec.structs.fields(self.settings)}

    def section(self, values: Mapping[str, Any]) -> TaskSection:
        """Its settings of values by variable; what is not among them has its default."""
        told = {field.name: values[variable] for variable, field in self.fields().items() if variable in values}
        return msgspec.convert(told, self.settings, dec_hook=lambda kind, value: kind(value))

    def by_variable(self, section: TaskSection) -> dict[str, Any]:
        """The inverse of `section`: every value, as JSON can hold it."""
        values: dict[str, Any] = msgspec.to_builtins(section, enc_hook=str)
        return {self.variable(name): value for name, value in values.items()}
