"""The settings of a miner, checked. They come from the command line; nothing here reads the environment."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from gaia.contracts.errors import ConfigurationError
from gaia.miner.model_choice import ModelChoice, check_choice
from gaia.tasks.defined_tasks.weather.supply.catalogue import parse_source


class MinerSettings(Struct, frozen=True, kw_only=True):
    """Everything that a miner is told."""

    netuid: int
    data_dir: Path
    model: ModelChoice
    analysis: str
    """The source of initial states, such as `grib:/data/analysis.grib?member=0` or `archive:/data/archive`.
    """
    climatology: str | None = None
    host: str = "127.0.0.1"
    port: int = 0
    """0: any free port."""
    public_url: str | None = None
    """What validators are told to call, where that is not host and port: behind a proxy or a router."""
    max_runs: int = 32
    """Runs kept at once: one a day, each for 20 days, and some room."""
    max_forecast_bytes: int = 16 * 1024**3
    """Decoded size up to which a forecast is accepted; a full run (69 fields, 40 steps, 0.25 degree) has
    11.5e9.
    """

    def check(self) -> None:
        """Raise ConfigurationError (or its like, StoreMissing, BadSource) for what cannot work."""
        check_choice(self.model)
        parse_source(self.analysis)
        if self.climatology is not None:
            parse_source(self.climatology)
        if not 0 <= self.netuid <= 65_535:
            raise ConfigurationError(f"netuid {self.netuid} is not between 0 and 65535")
        if not 0 <= self.port <= 65_535:
            raise ConfigurationError(f"port {self.port} is not between 0 and 65535")
        if self.public_url is not None and not self.public_url.startswith(("http://", "https://")):
            raise ConfigurationError(f"public URL {self.public_url!r} must start with http:// or https://")
