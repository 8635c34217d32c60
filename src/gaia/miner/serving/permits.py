"""The list of who may ask this miner: the validators with a permit on the chain. Without the chain nobody may ask."""

from __future__ import annotations

import asyncio

import structlog

from gaia.contracts.clock import Clock
from gaia.contracts.errors import ValidatorFault
from gaia.contracts.ids import Hotkey
from gaia.contracts.ports import ChainPort

log = structlog.get_logger(__name__)

REFRESH_EVERY_S = 60.0
LOOK_AGAIN_GAP_S = 5.0
"""An unknown caller may have just got a permit, so the chain is asked again, but at most this often."""
STALE_AFTER_S = 3600.0
"""An older list is not used. In this time, about 300 blocks, permits may change."""
CHAIN_TIMEOUT_S = 10.0


class PermitsUnknown(ValidatorFault):
    """The chain has not answered for too long, so it is not known who has a permit."""

    retryable = True


class PermitList:
    """The permitted hotkeys, cached."""

    def __init__(self, chain: ChainPort, netuid: int, clock: Clock) -> None:
        self._chain = chain
        self._netuid = netuid
        self._clock = clock
        self._permitted: frozenset[Hotkey] = frozenset()
        self._known_at: float | None = None
        self._asked_at: float | None = None
        self._asking = asyncio.Lock()

    def allows(self, hotkey: Hotkey) -> bool:
        """Whether `hotkey` has a permit, by the present list. Raises PermitsUnknown if the list is out of date."""
        known_at = self._known_at
        if known_at is None or self._clock.monotonic() - known_at > STALE_AFTER_S:
            raise PermitsUnknown(
                "the list of permitted validators is out of date: the chain does not answer; try later"
            )
        return hotkey in self._permitted

    async def look_again(self) -> None:
        """Ask the chain again, unless that was done a moment ago. The caller may have a new permit."""
        async with self._asking:
            if self._asked_at is None or self._clock.monotonic() - self._asked_at >= LOOK_AGAIN_GAP_S:
                await self.refresh()

    async def keep_fresh(self) -> None:
        """Ask the chain at intervals, for ever. While the chain does not answer, the old list stays."""
        while True:
            await self._clock.sleep(REFRESH_EVERY_S)
            try:
                await self.refresh()
            except Exception as error:  # noqa: BLE001  a service loop: whatever a chain adapter raises
                log.warning("permit_refresh_failed", error=f"{type(error).__name__}: {error}")

    async def refresh(self) -> None:
        """Ask the chain now. On failure the old list stays, and the adapter's error is raised."""
        self._asked_at = self._clock.monotonic()
        async with asyncio.timeout(CHAIN_TIMEOUT_S):
            neurons = await self._chain.neurons(self._netuid)
        self._permitted = frozenset(n.hotkey for n in neurons if n.validator_permit)
        self._known_at = self._clock.monotonic()
