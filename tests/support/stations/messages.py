"""What the validator asks a miner, and what the miner answers."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from gaia.contracts.ids import RunId

PATH: Final = "/v1/stations"
"""POST a TemperatureRequest here."""
COUNT: Final = 50
MAX_BYTES: Final = 4_096


class TemperatureRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    run_id: RunId


class TemperatureForecast(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    run_id: RunId
    celsius: Annotated[tuple[float, ...], Meta(min_length=COUNT, max_length=COUNT)]
