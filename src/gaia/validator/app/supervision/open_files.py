"""How many files each process of the validator may have open: what the settings need, against what the system allows.

Looked at once, at the start, because too few show later and elsewhere: as a miner that cannot be reached, a chunk that
cannot be written. Changes the limit of this process and so of its children; opens nothing.
"""

from __future__ import annotations

import resource
from typing import Final

from gaia.contracts.errors import ConfigurationError
from gaia.validator.utils.settings import Settings

_OF_ITS_OWN: Final = 24
"""Standard streams, event loop, lock, log, a module being imported, a child being started: about half are in use."""
_PER_WORKER: Final = 3
"""The IO-Engine has its stream, its end (pidfd) and its memory (statm); the supervisor its end and its status."""
_POSTGRES: Final = 128
"""Its server refuses to start with fewer than 58 (fd.c: FD_MINFREE, NUM_RESERVED_FDS) and works better with more."""


class TooFewOpenFiles(ConfigurationError):
    """The system lets a process open fewer files than these settings need."""


def files_needed(settings: Settings) -> int:
    """By that of the processes that opens most."""
    workers = settings.compute_workers + settings.compute_spares
    ours = _OF_ITS_OWN + _PER_WORKER * workers + settings.engine_files
    return ours if settings.database_url is not None else max(ours, _POSTGRES)


def allow_files(needed: int) -> int:
    """Raise the limit of this process and of the children to come to `needed` where it is lower; the limit then.

    Raises TooFewOpenFiles where the hard limit forbids that.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return soft
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise TooFewOpenFiles(
            f"a process may have {hard} files open here, but with these settings one needs {needed}: raise the limit "
            f"('ulimit -n {needed}', or LimitNOFILE={needed} in the unit of systemd), or lower "
            "GAIA_MINER_CONCURRENCY, GAIA_JOB_CONCURRENCY or GAIA_COMPUTE_WORKERS"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    return needed
