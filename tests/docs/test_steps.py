"""The architecture page tells the steps of a run as the code lists them."""

from __future__ import annotations

import re
from pathlib import Path

from gaia.tasks.defined_tasks.weather.validator.steps import STEPS

_ROOT = Path(__file__).parents[2]


def test_the_page_lists_the_eight_steps_in_order() -> None:
    page = (_ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) ([^|]+?) \| `(?:validator/)?(\w+)\.py`", page, re.MULTILINE)
    assert rows == [(str(number), step.title, step.name) for number, step in enumerate(STEPS, 1)]


def test_each_step_has_a_file_of_its_name() -> None:
    steps = _ROOT / "src/gaia/tasks/defined_tasks/weather/validator/steps"
    own = [step.name for step in STEPS if (steps / f"{step.name}.py").is_file()]
    assert own == [step.name for step in STEPS[:-1]]
    assert (_ROOT / "src/gaia/validator" / f"{STEPS[-1].name}.py").is_file()
