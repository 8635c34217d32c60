"""The fixed table of compute handlers: name -> `module:function`. The values are text, so the table imports nothing.

A worker imports a handler on first use. A WorkUnit can call nothing outside this table.
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
