"""`gaia key`: makes a hotkey."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gaia.cli.exit import plain_errors


def key(file: Annotated[Path, typer.Argument(help="The new file; it must not exist.")]) -> None:
    """Make a new hotkey file, readable only by you, and print the address."""
    from gaia.protocol.keys import create_key_file

    with plain_errors():
        print(create_key_file(file).hotkey)
