"""`gaia up`: runs the validator in the foreground."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer


def up(
    test: Annotated[
        bool, typer.Option("--test", help="Run hindcasts only. Open each one with `gaia runs --open`.")
    ] = False,
) -> None:
    """Run the validator until Ctrl-C or SIGTERM. Settings come from the environment and .env: see `gaia config`."""
    import prometheus_client  # noqa: F401  the supervisor needs it: where it is not installed, that is said before it starts

    if test:
        os.environ["GAIA_SCHEDULE"] = "manual"  # for this process and those that it starts
    # The supervisor takes this process over: it must be the one that a service manager signals and watches.
    os.execv(sys.executable, [sys.executable, "-B", "-m", "gaia.validator.validator"])  # noqa: S606  our own module
