"""The context of every step of the weather task: the core's context, the task's settings, the decoded fields."""

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
from gaia.tasks.defined_tasks.weather.validator.forecast_client import ForecastClient
from gaia.tasks.defined_tasks.weather.validator.records.runs import Run, RunMiner


class UnsafeName(ValidatorFault):
    """A name from outside is not safe as part of a path."""


class WeatherContext(Struct, frozen=True, kw_only=True):
    """The context of a step. The task builds it."""

    core: TaskContext
    settings: WeatherSettings
    fields: FieldCache

    @property
    def miners(self) -> ForecastClient:
        """Asks miners for forecasts."""
        return ForecastClient(self.core.miners, self.core.clock)

    def world(self, run: Run) -> WorldClock:
        """The clock that shows the time in the run's world."""
        return WorldClock(self.core.clock, run.world_offset)

    def forecast_path(self, run_id: str, hotkey: str) -> Path:
        """The folder that caches the chunks of a forecast."""
        if not (hotkey.isascii() and hotkey.isalnum()):
            raise UnsafeName(f"hotkey {hotkey[:80]!r} is not an ss58 address")
        return self.core.data_dir / "cache" / "forecasts" / run_id / hotkey


WeatherStep = Callable[[Job, WeatherContext], Awaitable[TaskResult]]


class NoEndpoint(MinerFault):
    """The miner has announced no address on the chain."""


def address_of(miner: RunMiner) -> MinerAddress:
    """The address at which a miner can be asked. Raises NoEndpoint."""
    if miner.endpoint is None:
        raise NoEndpoint("no address is announced on the chain for this hotkey")
    return MinerAddress(hotkey=miner.hotkey, endpoint=miner.endpoint)
