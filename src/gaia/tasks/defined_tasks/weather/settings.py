"""What the weather task is told at start; built by the wiring from the validator's settings."""

from __future__ import annotations

from datetime import timedelta

from msgspec import Struct

from gaia.protocol.run_spec import RunSpec
from gaia.tasks.defined_tasks.weather.policy.policy import ScoringPolicy
from gaia.tasks.defined_tasks.weather.supply.catalogue import SourceSet


class WeatherSettings(Struct, frozen=True, kw_only=True):
    """The runs to open, and how long each part of them may take."""

    spec: RunSpec
    sources: SourceSet
    opens_daily: bool
    """A run for 12Z of every day, opened at 18:05 UTC of the world's clock. Else runs are opened by hand: hindcasts."""
    commit_window: timedelta
    reveal_window: timedelta
    miner_concurrency: int
    policy: ScoringPolicy = ScoringPolicy()
    poll_interval: timedelta = timedelta(seconds=1)
    """How often miners are asked for what they have not yet delivered."""
    unit_timeout_s: float = 600.0
