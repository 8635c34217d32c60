"""The settings of the weather task. The wiring builds them from the validator's settings."""

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
    """True: a run for 12Z of every day opens at 18:05 UTC of the world's clock. False: runs (hindcasts) are opened by
    hand."""
    commit_window: timedelta
    reveal_window: timedelta
    miner_concurrency: int
    policy: ScoringPolicy = ScoringPolicy()
    poll_interval: timedelta = timedelta(seconds=1)
    """How often miners are asked for a commitment that they have not delivered yet."""
    unit_timeout_s: float = 600.0
