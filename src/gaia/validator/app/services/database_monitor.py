"""Looks at the database once a minute, for the metrics: its size, dead rows, connections, the longest transaction."""

from __future__ import annotations

from typing import Final

import structlog

from gaia.contracts.clock import Clock
from gaia.contracts.errors import GaiaError
from gaia.validator.db.figures import DatabaseStats
from gaia.validator.db.stats import DatabaseStatsManager

_EVERY_S: Final = 60.0


class DatabaseMonitor:
    """One background service of the IO-Engine."""

    def __init__(self, manager: DatabaseStatsManager, clock: Clock) -> None:
        self._manager = manager
        self._clock = clock
        self._log = structlog.get_logger("database_monitor")
        self.last: DatabaseStats | None = None
        """What was seen last; None before the first look, and while the database cannot be asked."""

    async def run(self) -> None:
        """A look every minute, until cancelled."""
        while True:
            try:
                self.last = await self._manager.collect()
            except (GaiaError, OSError) as error:
                self.last = None
                self._log.warning("database_not_seen", error=str(error))
            await self._clock.sleep(_EVERY_S)
