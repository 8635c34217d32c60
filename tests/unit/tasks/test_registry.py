"""The tasks there are: every name in their tables leads to something, and what contradicts itself is refused."""

from __future__ import annotations

import pytest

from gaia.contracts.errors import ConfigurationError
from gaia.contracts.ids import MalformedRunId
from gaia.tasks.defined_tasks.definition import BadTask, TaskDefinition
from gaia.tasks.defined_tasks.registry import TASKS, TaskUnknown, defined_tasks, load, task_of_run
from gaia.validator.app.compute.handler_registry import HandlerRegistry

HANDLERS = [(task.name, name) for task in defined_tasks(list(TASKS)) for name in task.handlers]
OTHER = TaskDefinition(name="other", number=1, build="m:f", handlers={})
NAMESAKE = TaskDefinition(name="weather", number=2, build="m:f", handlers={})
NO_TASK = "text"


@pytest.mark.parametrize(("task", "handler"), HANDLERS)
def test_every_handler_can_be_imported(task: str, handler: str) -> None:
    assert callable(HandlerRegistry(task).handler(handler))


@pytest.mark.parametrize("task", defined_tasks(list(TASKS)), ids=lambda task: task.name)
def test_every_part_of_a_task_is_there(task: TaskDefinition) -> None:
    for reference in (task.build, task.views, task.commands):
        if reference is not None:
            load(reference)
    assert task.migrations is None or list(task.migrations.glob("*.py"))


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([], "no task is named; there are weather"),
        (["wether"], "there is no task 'wether': choose of weather, or name your own package.module:TASK"),
        (["tests.nowhere:TASK"], "'tests.nowhere:TASK' cannot be loaded .*: is its package installed"),
        ([f"{__name__}:NOTHING"], "cannot be loaded"),
        ([".foo:TASK"], "'.foo:TASK' cannot be loaded"),
        (["tests.support.broken_task:TASK"], "cannot be loaded .it breaks as it is imported."),
        ([f"{__name__}:NO_TASK"], "is a str, not a TaskDefinition"),
        (["weather", "weather"], "two tasks have the name weather"),
        (["weather", f"{__name__}:NAMESAKE"], "two tasks have the name weather"),
        (["weather", f"{__name__}:OTHER"], "two tasks have the number 1"),
    ],
)
def test_a_list_of_tasks_that_cannot_be_used_says_why(entries: list[str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        defined_tasks(entries)


@pytest.mark.parametrize(
    ("name", "number", "handlers"),
    [("Weather", 2, {}), ("a-b", 2, {}), ("late", 0, {}), ("late", 256, {}), ("late", 2, {"weather.verify": "m:f"})]
    + [(name, 2, {}) for name in ("gaia", "validator")],
)
def test_a_definition_that_cannot_be_kept_apart_is_refused(name: str, number: int, handlers: dict[str, str]) -> None:
    with pytest.raises(BadTask):
        TaskDefinition(name=name, number=number, build="m:f", handlers=handlers)


def test_a_run_is_that_of_the_task_in_its_name() -> None:
    tasks = defined_tasks(["weather"])
    assert task_of_run("sn57-weather-20170101T00Z", tasks).name == "weather"
    with pytest.raises(TaskUnknown, match="there is no task 'stations' here, only weather; add it to GAIA_TASKS"):
        task_of_run("sn57-stations-20170101T00Z", tasks)
    with pytest.raises(MalformedRunId):
        task_of_run("sn57", tasks)
