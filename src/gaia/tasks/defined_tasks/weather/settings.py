"""The settings of the weather task, made of its section of the validator's settings."""

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
    commit_window: timedelta
    reveal_window: timedelta
    policy: ScoringPolicy = ScoringPolicy()
    poll_interval: timedelta = timedelta(seconds=1)
    """How often miners are asked for a commitment that they have not delivered yet."""
    unit_timeout_s: float = 600.0
