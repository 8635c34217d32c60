"""`gaia miner`: runs the reference miner. This file only reads the options."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Literal, Optional

import typer

from gaia.cli.exit import plain_errors
from gaia.miner.cheat import Cheat


def miner(  # noqa: PLR0917  typer reads its options from here
    key: Annotated[Path, typer.Option(help="The hotkey file: a wallet's unencrypted hotkey, readable only by you.")],
    chain_url: Annotated[str, typer.Option(help="The simulated chain: postgresql://...")],
    analysis: Annotated[
        str, typer.Option(help="The initial states: grib:FILE[?member=N], netcdf:FILE or archive:FOLDER.")
    ],
    data_dir: Annotated[Path, typer.Option(help="The folder for forecasts. Each miner needs its own.")],
    model: Annotated[
        str,
        typer.Option(
            help="persistence, climatology, damped, barotropic, or yours: FILE.py:factory or package.module:factory."
        ),
    ] = "barotropic",
    netuid: Annotated[int, typer.Option(help="The subnet.")] = 57,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on. 0: any free port.")] = 0,
    public_url: Annotated[
        Optional[str], typer.Option(help="The URL for the chain. Default: host and port.")  # noqa: UP045
    ] = None,
    climatology: Annotated[
        Optional[str], typer.Option(help="A climatology, named as --analysis. Default: zonal means.")  # noqa: UP045
    ] = None,
    truncation: Annotated[int, typer.Option(help="Barotropic model: the triangular truncation.")] = 42,
    initial_error: Annotated[
        float, typer.Option(help="Barotropic model: an error added to the initial state. 0.1 is 10 %.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Barotropic model: the seed of that error.")] = 0,
    log_format: Annotated[Literal["console", "json"], typer.Option(help="The format of the log.")] = "console",
    cheat: Annotated[Optional[Cheat], typer.Option(hidden=True)] = None,  # noqa: UP045
    ppid: Annotated[Optional[int], typer.Option(hidden=True)] = None,  # noqa: UP045
) -> None:
    """Run a complete miner, which forecasts for the validators of a subnet. Plug in your own model with --model."""
    from gaia.miner.launch import Launch, launch
    from gaia.miner.log_setup import log_to_stderr
    from gaia.miner.model_choice import ModelChoice
    from gaia.miner.settings import MinerSettings

    log_to_stderr(log_format)
    told = Launch(
        settings=MinerSettings(
            netuid=netuid,
            data_dir=data_dir,
            model=ModelChoice(name=model, truncation=truncation, initial_error=initial_error, seed=seed),
            analysis=analysis,
            climatology=climatology,
            host=host,
            port=port,
            public_url=public_url,
        ),
        key_file=key,
        chain_url=chain_url,
        cheat=cheat,
        parent_pid=ppid,
    )
    with plain_errors():
        asyncio.run(launch(told))
