"""The weather task: forecasts of the whole globe for ten days."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Final

from gaia.protocol.forecast_messages import WEATHER, WEATHER_NUMBER
from gaia.tasks.defined_tasks.definition import TaskDefinition
from gaia.tasks.defined_tasks.weather.section import WeatherSection

_HERE: Final = "gaia.tasks.defined_tasks.weather"

TASK: Final = TaskDefinition(
    name=WEATHER,
    number=WEATHER_NUMBER,
    build=f"{_HERE}.task:weather_task",
    handlers=MappingProxyType(
        {
            "weather.hash.compute": f"{_HERE}.validator.handlers.hashing:handle_hash_compute",
            "weather.verify": f"{_HERE}.validator.handlers.hashing:handle_verify",
            "weather.score.day1": f"{_HERE}.validator.scoring:handle_day1_unit",
            "weather.score.era5": f"{_HERE}.validator.scoring:handle_era5_unit",
            "weather.clones": f"{_HERE}.validator.handlers.clone_search:handle_clones_unit",
            "weather.source.inventory": f"{_HERE}.supply.decode:handle_inventory",
            "weather.source.decode": f"{_HERE}.supply.decode:handle_decode",
            "weather.picture": f"{_HERE}.validator.picture.draw_map:handle_picture",
        }
    ),
    settings=WeatherSection,
    prefix="",  # its variables are older than the other tasks: GAIA_TRUTH and the like
    migrations=Path(__file__).parent / "migrations",
    views=f"{_HERE}.validator.views:VIEWS",
)
