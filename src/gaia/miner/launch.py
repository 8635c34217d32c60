"""Runs a miner as a process: loads the key, connects the chain, handles signals. `server` does the serving."""

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
    """The options of `gaia miner`."""

    settings: MinerSettings
    key_file: Path
    chain_url: str
    cheat: Cheat | None = None
    parent_pid: int | None = None
    """The process that this one must not outlive."""


async def launch(told: Launch) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigurationError or a similar error before anything is served."""
    if told.parent_pid is not None:
        die_with_parent(told.parent_pid, signal.SIGTERM)
    if not told.chain_url.startswith(("postgresql://", "postgres://")):
        raise ConfigurationError("--chain-url must be postgresql://...: only the simulated chain can be used so far")
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    signer = load_key_file(told.key_file)
    # cheats are only for the simulated chain, and the check above lets no other chain through
    conduct = conduct_for(told.cheat, told.settings.model, signer.hotkey)
    chain = await SimulatedChain.connect(told.chain_url)
    try:
        server = MinerServer(told.settings, signer=signer, chain=chain, clock=SystemClock(), conduct=conduct)
        await server.run(stopping)
    finally:
        await chain.close()
