"""Finds out whether our network works when there is no route to one miner: tries others.

A miner controls its own route and its name server. It must not be able to make its silence look like our fault, because
a run with our fault does not count for it. Owns the memory of which miners have answered.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from yarl import URL

from gaia.contracts.clock import Clock
from gaia.contracts.ids import Hotkey
from gaia.validator.miners.endpoints import GuardedResolver
from gaia.validator.miners.failures import EndpointRefused

_LATELY_S: Final = 900.0
"""If another miner has answered within this time, no connection is tried."""
_REMEMBERED: Final = 9
"""Eight miners to try, and the one in question."""


class Reachability:
    """Knows which miners can be reached. Sometimes opens a connection, and closes it at once."""

    def __init__(self, clock: Clock, resolver: GuardedResolver, *, dial_timeout_s: float) -> None:
        self._clock = clock
        self._resolver = resolver
        self._dial_timeout_s = dial_timeout_s
        self._answers: dict[Hotkey, tuple[URL, float]] = {}
        """The address and time (monotonic) of the latest answers, the last one at the end."""

    def answered(self, hotkey: Hotkey, base: URL) -> None:
        """Note that a miner has begun to answer."""
        self._answers.pop(hotkey, None)
        self._answers[hotkey] = (base, self._clock.monotonic())
        if len(self._answers) > _REMEMBERED:
            del self._answers[next(iter(self._answers))]

    async def reaches_others_than(self, hotkey: Hotkey) -> bool:
        """Whether another miner answered lately or can be reached now. False also if no other miner is known."""
        others = [answer for other, answer in self._answers.items() if other != hotkey]
        if any(self._clock.monotonic() - at_s < _LATELY_S for _, at_s in others):
            return True
        return any(await asyncio.gather(*(self._has_route(base) for base, _ in others)))

    async def _has_route(self, base: URL) -> bool:
        """Whether a machine answers at this address, even if it refuses the connection."""
        try:
            async with asyncio.timeout(self._dial_timeout_s):
                found = await self._resolver.resolve(base.raw_host or "", base.port or 0, socket.AF_UNSPEC)
                _, writer = await asyncio.open_connection(found[0]["host"], found[0]["port"])
        except ConnectionRefusedError:
            return True
        except (OSError, TimeoutError, EndpointRefused):
            return False
        writer.transport.abort()
        return True
