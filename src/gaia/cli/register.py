"""`gaia register`: registers a hotkey on the simulated chain, where that costs nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gaia.cli.exit import plain_errors

if TYPE_CHECKING:
    from gaia.chain.simulated import SimulatedChain

_BLOCK_TIME_S = 12.0
_STAKE_TAO = 10_000.0


def register(
    key: Annotated[Path, typer.Argument(help="The hotkey file, as made by `gaia key`.")],
    validator: Annotated[
        bool, typer.Option("--validator", help="Give it the stake and the permit that a validator needs.")
    ] = False,
) -> None:
    """Register a hotkey on the simulated chain of the running validator. The first call also makes the subnet."""
    with plain_errors():
        print(asyncio.run(_register(key, validator)))


async def _register(key: Path, validator: bool) -> str:
    from gaia.chain.simulated import SimulatedChain
    from gaia.contracts.errors import ConfigurationError
    from gaia.contracts.ports import ChainRefused
    from gaia.protocol.keys import load_key_file
    from gaia.validator.utils.config import load_settings

    settings, hotkey = load_settings(), load_key_file(key).hotkey
    chain = await SimulatedChain.connect(settings.database_dsn)
    try:
        await _ensure_subnet(chain, settings.netuid)
        stake_tao = _STAKE_TAO if validator else 0.0
        uid = await chain.register(settings.netuid, hotkey, stake_tao=stake_tao, validator_permit=validator)
    except ChainRefused as error:
        raise ConfigurationError(f"{hotkey} is not registered on subnet {settings.netuid}: {error}") from error
    finally:
        await chain.close()
    return f"{hotkey} is uid {uid} on subnet {settings.netuid}"


async def _ensure_subnet(chain: SimulatedChain, netuid: int) -> None:
    from gaia.chain.simulated import SMALL_SUBNET
    from gaia.contracts.ports import ChainRefused

    try:
        await chain.parameters(netuid)
    except ChainRefused:
        await chain.create_subnet(netuid, SMALL_SUBNET, block_time_s=_BLOCK_TIME_S)
