"""The table of tasks: name -> `module:attribute` of a TaskDefinition. The values are text, so it imports nothing.

`GAIA_TASKS` names tasks of this table, or other definitions in the same form. A WorkUnit can call nothing outside the
handlers of these definitions.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from gaia.contracts.errors import ConfigurationError
from gaia.contracts.ids import parse_run_id
from gaia.tasks.defined_tasks.definition import BadTask, TaskDefinition

TASKS: Mapping[str, str] = MappingProxyType({"weather": "gaia.tasks.defined_tasks.weather.definition:TASK"})


class TaskUnknown(ConfigurationError):
    """No configured task has this name."""


def load(reference: str) -> Any:
    """Import the object that `module:attribute` names. Raises BadTask."""
    module, _, attribute = reference.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise BadTask(
            f"{reference!r} cannot be loaded ({error}): is its package installed in this environment?"
        ) from error


def defined_tasks(entries: Sequence[str]) -> tuple[TaskDefinition, ...]:
    """The definitions of the entries of `GAIA_TASKS`. Raises TaskUnknown, or BadTask if two cannot be told apart."""
    found = tuple(_definition(entry) for entry in entries)
    if not found:
        raise TaskUnknown(f"no task is named; there are {', '.join(TASKS)}")
    for what, values in (("name", [t.name for t in found]), ("number", [str(t.number) for t in found])):
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise BadTask(f"two tasks have the {what} {twice}")
    return found


def task_of_run(run_id: str, tasks: Sequence[TaskDefinition]) -> TaskDefinition:
    """The task of a run. Raises MalformedRunId, TaskUnknown."""
    name = parse_run_id(run_id).task
    return task_called(name, tasks)


def task_called(name: str, tasks: Sequence[TaskDefinition]) -> TaskDefinition:
    """The task with a name. Raises TaskUnknown."""
    for task in tasks:
        if task.name == name:
            return task
    raise TaskUnknown(f"there is no task {name!r} here, only {', '.join(t.name for t in tasks)}; add it to GAIA_TASKS")


def _definition(entry: str) -> TaskDefinition:
    if entry not in TASKS and entry.count(":") != 1:
        raise TaskUnknown(
            f"there is no task {entry!r}: choose of {', '.join(TASKS)}, or name your own package.module:TASK"
        )
    found = load(TASKS.get(entry, entry))
    if not isinstance(found, TaskDefinition):
        raise BadTask(f"{entry} is a {type(found).__name__}, not a TaskDefinition")
    return found
