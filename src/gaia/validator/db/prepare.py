"""`python -m gaia.validator.db.prepare`: makes everything that the embedded PostgreSQL needs, in its own process.

The first time this takes seconds (initdb), while the supervisor must handle signals. Exit status 2, with one line on
stderr: the operator must correct something. After a SIGTERM no half-made cluster and no process is left. Remains of its
scratch folder are deleted at the next start.
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
    """The command line that prepares a server as a child of this process."""
    return [
        *(sys.executable, "-B", "-m", "gaia.validator.db.prepare", "--ppid", str(os.getpid())),
        *("--data", str(database.data_dir), "--sockets", str(database.socket_dir), "--log", str(database.log_path)),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare everything. Returns the exit status."""
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
    raise SystemExit("stopped")  # as an exception, so that running programs are killed and scratch folders deleted


if __name__ == "__main__":
    sys.exit(main())
