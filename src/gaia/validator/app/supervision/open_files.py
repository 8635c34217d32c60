"""Compares the number of open files that a process of the validator needs with the number that the system allows.

This is checked once, at the start. Otherwise a lack of files would show later, as a miner that cannot be reached or a
chunk that cannot be written. Changes the limit of this process and its children. Opens no file.
"""

from __future__ import annotations

import resource
from typing import Final

from gaia.contracts.errors import ConfigurationError
from gaia.validator.utils.settings import Settings

_OF_ITS_OWN: Final = 24
"""Standard streams, event loop, lock, log, a module being imported, a child being started. About half are in use."""
_PER_WORKER: Final = 3
"""The IO-Engine opens a worker's stream, pidfd and statm; the supervisor opens its pidfd and status channel."""
_POSTGRES: Final = 128
"""PostgreSQL refuses to start with fewer than 58 (fd.c: FD_MINFREE, NUM_RESERVED_FDS) and works better with more."""


class TooFewOpenFiles(ConfigurationError):
    """The system allows a process fewer open files than these settings need."""


def files_needed(settings: Settings) -> int:
    """By that of the processes that opens most."""
    workers = settings.compute_workers + settings.compute_spares
    ours = _OF_ITS_OWN + _PER_WORKER * workers + settings.engine_files
    return ours if settings.database_url is not None else max(ours, _POSTGRES)


def allow_files(needed: int) -> int:
    """Raise the limit of this process and its future children to `needed` if it is lower. Returns the limit.

    Raises TooFewOpenFiles if the hard limit forbids that.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return soft
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise TooFewOpenFiles(
            f"a process may have {hard} files open here, but these settings need {needed}: raise the limit "
            f"('ulimit -n {needed}', or LimitNOFILE={needed} in the unit of systemd), or lower "
            "GAIA_MINER_CONCURRENCY, GAIA_JOB_CONCURRENCY or GAIA_COMPUTE_WORKERS"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    return needed
