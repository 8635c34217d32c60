"""Whether our network works, when the way to one miner fails: others are asked.

A miner chooses what route leads to it and who resolves its name. It must not be able to make its silence our fault, for
that would take a run that it dislikes out of its window. Owns the memory of who has answered; judges nobody.
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
"""So long after another miner's answer nobody is dialled."""
_REMEMBERED: Final = 9
"""Eight to dial, and the one that is in question."""


class Reachability:
    """Of the miners, from here. Opens a connection now and then, and closes it at once."""

    def __init__(self, clock: Clock, resolver: GuardedResolver, *, dial_timeout_s: float) -> None:
        self._clock = clock
        self._resolver = resolver
        self._dial_timeout_s = dial_timeout_s
        self._answers: dict[Hotkey, tuple[URL, float]] = {}
        """Where and when (monotonic) the latest ones answered, the last at the end."""

    def answered(self, hotkey: Hotkey, base: URL) -> None:
        """A miner's answer has begun."""
        self._answers.pop(hotkey, None)
        self._answers[hotkey] = (base, self._clock.monotonic())
        if len(self._answers) > _REMEMBERED:
            del self._answers[next(iter(self._answers))]

    async def reaches_others_than(self, hotkey: Hotkey) -> bool:
        """Whether another miner answered lately or can be dialled now. False also while nobody else is known."""
        others = [answer for other, answer in self._answers.items() if other != hotkey]
        if any(self._clock.monotonic() - at_s < _LATELY_S for _, at_s in others):
            return True
        return any(await asyncio.gather(*(self._has_route(base) for base, _ in others)))

    async def _has_route(self, base: URL) -> bool:
        """Whether somebody is there, if only to refuse."""
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
