"""The fixed registry of compute handlers: name -> `module:function`, as text, so that naming one imports nothing.

A worker imports a handler on first use. Nothing outside this table can be called through a WorkUnit.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_WEATHER = "gaia.tasks.defined_tasks.weather"

HANDLERS: Mapping[str, str] = MappingProxyType(
    {
        "weather.hash.compute": f"{_WEATHER}.validator.handlers.hashing:handle_hash_compute",
        "weather.verify": f"{_WEATHER}.validator.handlers.hashing:handle_verify",
        "weather.score.day1": f"{_WEATHER}.validator.scoring:handle_day1_unit",
        "weather.score.era5": f"{_WEATHER}.validator.scoring:handle_era5_unit",
        "weather.clones": f"{_WEATHER}.validator.handlers.clone_search:handle_clones_unit",
        "weather.source.inventory": f"{_WEATHER}.supply.decode:handle_inventory",
        "weather.source.decode": f"{_WEATHER}.supply.decode:handle_decode",
        "weather.picture": f"{_WEATHER}.validator.picture.draw_map:handle_picture",
    }
)
