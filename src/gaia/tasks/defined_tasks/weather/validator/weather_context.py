"""What every step of the weather task is given: the core's context, the task's settings, the decoded fields."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec import Struct

from gaia.contracts.clock import WorldClock
from gaia.contracts.errors import MinerFault, ValidatorFault
from gaia.contracts.job import Job
from gaia.contracts.ports import MinerAddress
from gaia.tasks.defined_tasks.base import TaskContext, TaskResult
from gaia.tasks.defined_tasks.weather.settings import WeatherSettings
from gaia.tasks.defined_tasks.weather.validator.field_cache import FieldCache
from gaia.tasks.defined_tasks.weather.validator.records.runs import Run, RunMiner


class UnsafeName(ValidatorFault):
    """A name from outside would have become part of a path."""


class WeatherContext(Struct, frozen=True, kw_only=True):
    """Built once, by the task."""

    core: TaskContext
    settings: WeatherSettings
    fields: FieldCache

    def world(self, run: Run) -> WorldClock:
        """The clock of a run's world."""
        return WorldClock(self.core.clock, run.world_offset)

    def forecast_path(self, run_id: str, hotkey: str) -> Path:
        """Where the chunks of a forecast are kept while they are needed."""
        if not (hotkey.isascii() and hotkey.isalnum()):
            raise UnsafeName(f"hotkey {hotkey[:80]!r} is not an ss58 address")
        return self.core.data_dir / "cache" / "forecasts" / run_id / hotkey


WeatherStep = Callable[[Job, WeatherContext], Awaitable[TaskResult]]


class NoEndpoint(MinerFault):
    """The miner has announced no address on the chain."""


def address_of(miner: RunMiner) -> MinerAddress:
    """Whom to ask, and where; raises NoEndpoint."""
    if miner.endpoint is None:
        raise NoEndpoint("no address is announced on the chain for this hotkey")
    return MinerAddress(hotkey=miner.hotkey, endpoint=miner.endpoint)
