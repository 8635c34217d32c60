"""The exit statuses of a command, and its errors as one line on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from gaia.contracts.errors import ConfigurationError, GaiaError, SourceFault

FAILED = 1
MISUSED = 2  # the user must correct a setting, path or file
INTERRUPTED = 130


def fail(message: str, status: int = FAILED) -> NoReturn:
    """Print why, one cause a line, and exit."""
    for line in message.splitlines():
        print(f"gaia: {line}", file=sys.stderr)
    raise typer.Exit(status)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn our errors, and the system's about files, into one line and an exit status. Ctrl-C gives only a status."""
    try:
        yield
    except (ConfigurationError, SourceFault) as error:
        fail(str(error), MISUSED)
    except GaiaError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), MISUSED)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
