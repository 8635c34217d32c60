"""Handlers are found in the table, imported on first use, and nowhere else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gaia.contracts.errors import ConfigurationError
from gaia.validator.app.compute.handler_registry import HandlerRegistry
from gaia.validator.app.compute.unit_errors import HandlerUnavailable, HandlerUnknown

TABLE = "tests.support.compute_handlers:HANDLERS"


def test_a_registered_handler_is_its_function() -> None:
    assert HandlerRegistry(TABLE).handler("echo")({"x": 1}) == {"x": 1}


@pytest.mark.parametrize("name", ["os.system", "tests.support.compute_handlers:echo", "", "Echo"])
def test_nothing_outside_the_table_can_be_called(name: str) -> None:
    with pytest.raises(HandlerUnknown, match="no handler is registered"):
        HandlerRegistry(TABLE).handler(name)


@pytest.mark.parametrize("name", ["import_fails", "attribute_missing"])
def test_a_handler_that_cannot_be_imported_is_named_with_the_cause(name: str) -> None:
    with pytest.raises(HandlerUnavailable, match=rf"the handler {name} cannot be imported: \w+Error: .*no_such"):
        HandlerRegistry(TABLE).handler(name)


def test_a_registry_that_cannot_be_imported_is_named() -> None:
    with pytest.raises(HandlerUnavailable, match=r"the handler registry tests\.nowhere:HANDLERS"):
        HandlerRegistry("tests.nowhere:HANDLERS").handler("echo")


def test_a_registry_of_the_wrong_form_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="module:attribute"):
        HandlerRegistry("tests.support.compute_handlers")


def test_the_tables_of_several_tasks_are_one() -> None:
    registry = HandlerRegistry(f"weather,{TABLE}")
    assert registry.handler("echo")({"x": 1}) == {"x": 1}
    assert callable(registry.handler("weather.hash.compute"))


def test_naming_a_task_imports_no_numerics() -> None:
    code = (
        "import sys; from gaia.validator.app.compute.handler_registry import *; r = HandlerRegistry('weather')\n"
        "try: r.handler('none')\n"
        "except HandlerUnknown: pass\n"
        "sys.exit('numpy' in sys.modules or 'gaia.tasks.defined_tasks.weather.definition' not in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
