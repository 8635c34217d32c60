"""`python -m gaia.validator.db.prepare`: makes what the embedded PostgreSQL needs, as a process of its own.

The first time that takes seconds (initdb), in which the supervisor must hear signals. Exit status 2, with one line on
stderr, for what the operator has to mend. Ended by SIGTERM, it leaves no half-made cluster and nobody running; what it
could not clear of its scratch folder in the time it was given, the next start sweeps.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from gaia.contracts.errors import ConfigurationError, GaiaError
from gaia.contracts.parent_death import die_with_parent
from gaia.validator.db.embedded import EmbeddedPostgres


def preparation_argv(database: EmbeddedPostgres) -> list[str]:
    """The command line that prepares a server as a child of this very process."""
    return [
        *(sys.executable, "-B", "-m", "gaia.validator.db.prepare", "--ppid", str(os.getpid())),
        *("--data", str(database.data_dir), "--sockets", str(database.socket_dir), "--log", str(database.log_path)),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare; the exit status."""
    parser = argparse.ArgumentParser(prog="gaia.validator.db.prepare", description="prepares the embedded PostgreSQL")
    for option in ("--data", "--sockets", "--log"):
        parser.add_argument(option, type=Path, required=True)
    parser.add_argument("--ppid", type=int, required=True)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    die_with_parent(options.ppid, signal.SIGTERM)
    try:
        EmbeddedPostgres(data_dir=options.data, socket_dir=options.sockets, log_path=options.log).prepare()
    except GaiaError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, ConfigurationError) else 1
    return 0


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit("stopped")  # an exception: whoever runs a program kills it, whoever has a scratch folder clears it


if __name__ == "__main__":
    sys.exit(main())
