"""`gaia key`: make a hotkey."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gaia.cli.exit import plain_errors


def key(file: Annotated[Path, typer.Argument(help="Where to write it; must not exist.")]) -> None:
    """Make a new hotkey, readable by you only, and print its address."""
    from gaia.protocol.keys import create_key_file

    with plain_errors():
        print(create_key_file(file).hotkey)
