"""Runs a miner as a process: key, chain, signals. Owns the order of starting and stopping; serves nothing
itself.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from msgspec import Struct

from gaia.chain.simulated import SimulatedChain
from gaia.contracts.clock import SystemClock
from gaia.contracts.errors import ConfigurationError
from gaia.contracts.parent_death import die_with_parent
from gaia.miner.adversary import conduct_for
from gaia.miner.cheat import Cheat
from gaia.miner.server import MinerServer
from gaia.miner.settings import MinerSettings
from gaia.protocol.keys import load_key_file


class Launch(Struct, frozen=True, kw_only=True):
    """Everything that `gaia miner` was told."""

    settings: MinerSettings
    key_file: Path
    chain_url: str
    cheat: Cheat | None = None
    parent_pid: int | None = None
    """The process that this one must not outlive."""


async def launch(told: Launch) -> None:
    """Serve until SIGTERM or SIGINT; raises ConfigurationError and its like before anything is served."""
    if told.parent_pid is not None:
        die_with_parent(told.parent_pid, signal.SIGTERM)
    if not told.chain_url.startswith(("postgresql://", "postgres://")):
        raise ConfigurationError("--chain-url must be postgresql://...: only the simulated chain can be used so far")
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    signer = load_key_file(told.key_file)
    # the cheats need the simulated chain, and there is no other above
    conduct = conduct_for(told.cheat, told.settings.model, signer.hotkey)
    chain = await SimulatedChain.connect(told.chain_url)
    try:
        server = MinerServer(told.settings, signer=signer, chain=chain, clock=SystemClock(), conduct=conduct)
        await server.run(stopping)
    finally:
        await chain.close()
