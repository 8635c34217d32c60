"""Which tasks the commands speak of: those that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gaia.tasks.defined_tasks.definition import TaskDefinition
    from gaia.tasks.defined_tasks.views import TaskViews


def configured_tasks() -> tuple[TaskDefinition, ...]:
    """The tasks of `GAIA_TASKS`."""
    from gaia.tasks.defined_tasks.registry import defined_tasks
    from gaia.validator.utils.config import load_settings

    return defined_tasks(load_settings().tasks)


def views_of(task: TaskDefinition) -> TaskViews[Any]:
    """What a task shows; raises ConfigurationError if it shows nothing."""
    from gaia.contracts.errors import ConfigurationError
    from gaia.tasks.defined_tasks.registry import load

    if task.views is None:
        raise ConfigurationError(f"the task {task.name} shows nothing of its runs: its definition names no views")
    views: TaskViews[Any] = load(task.views)
    return views


def views_of_run(run_id: str) -> TaskViews[Any]:
    """The views of the task that a run's name holds; raises MalformedRunId, TaskUnknown."""
    from gaia.tasks.defined_tasks.registry import task_of_run

    return views_of(task_of_run(run_id, configured_tasks()))
