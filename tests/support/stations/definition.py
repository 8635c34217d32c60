"""The task, and what an operator can set of it: GAIA_STATIONS_TRUTH and GAIA_STATIONS_WINDOW_S."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from gaia.contracts.errors import ConfigurationError
from gaia.contracts.setting import About, TaskSection
from gaia.tasks.defined_tasks.definition import TaskDefinition

_HERE: Final = "tests.support.stations"


class StationsSection(TaskSection, frozen=True, kw_only=True, forbid_unknown_fields=True):
    truth: Annotated[Path | None, About("What the stations measured, as JSON: day -> 50 temperatures")] = None
    window_s: Annotated[float, About("How long miners are asked", ge=0.1, le=3600)] = 600.0

    def refuse_incomplete(self) -> None:
        if self.truth is None:
            raise ConfigurationError("GAIA_STATIONS_TRUTH is not set: name the file of what the stations measured")


TASK: Final = TaskDefinition(
    name="stations",
    number=2,
    build=f"{_HERE}.task:StationsTask",
    handlers={"stations.score": f"{_HERE}.handlers:handle_score"},
    settings=StationsSection,
    migrations=Path(__file__).parent / "migrations",
    views=f"{_HERE}.views:VIEWS",
    commands=f"{_HERE}.commands:app",
)
