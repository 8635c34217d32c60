"""Who may ask this miner: the validators with a permit, as the chain last said. Must never let anybody in
by default.
"""

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
"""A stranger makes us look at the chain again, in case it has just been given a permit; at most this often.
"""
STALE_AFTER_S = 3600.0
"""A list older than this is no list: about 300 blocks, in which permits change hands."""
CHAIN_TIMEOUT_S = 10.0


class PermitsUnknown(ValidatorFault):
    """The chain has not answered for too long; nobody can be told from anybody."""

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
        """Whether `hotkey` has a permit, by the list as it is; raises PermitsUnknown if that is out of
        date.
        """
        known_at = self._known_at
        if known_at is None or self._clock.monotonic() - known_at > STALE_AFTER_S:
            raise PermitsUnknown(
                "the list of permitted validators is out of date: the chain does not answer; try later"
            )
        return hotkey in self._permitted

    async def look_again(self) -> None:
        """Somebody was refused who may be new: ask the chain, unless that was done a moment ago."""
        async with self._asking:
            if self._asked_at is None or self._clock.monotonic() - self._asked_at >= LOOK_AGAIN_GAP_S:
                await self.refresh()

    async def keep_fresh(self) -> None:
        """Ask the chain again and again, for ever; keeps the old list while the chain does not answer."""
        while True:
            await self._clock.sleep(REFRESH_EVERY_S)
            try:
                await self.refresh()
            except Exception as error:  # noqa: BLE001  a service loop: whatever a chain adapter raises
                log.warning("permit_refresh_failed", error=f"{type(error).__name__}: {error}")

    async def refresh(self) -> None:
        """Ask the chain now; on failure raises what the adapter raised, and the old list stays."""
        self._asked_at = self._clock.monotonic()
        async with asyncio.timeout(CHAIN_TIMEOUT_S):
            neurons = await self._chain.neurons(self._netuid)
        self._permitted = frozenset(n.hotkey for n in neurons if n.validator_permit)
        self._known_at = self._clock.monotonic()
