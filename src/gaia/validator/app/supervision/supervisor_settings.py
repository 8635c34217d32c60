"""What the supervisor is told, as plain data: it must stay free of the library that validates the
environment.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from gaia.validator.app.processes.restart_policy import RestartPolicy

_LONGEST_SOCKET_PATH_BYTES: Final = 100  # sun_path holds 108: unix(7)
_FIXED: Final = ("data_dir", "database_url", "compute_workers", "spare_workers", "metrics_host", "metrics_port",
                 "log_format", "log_level", "notify_socket", "watchdog_s")  # fmt: skip
"""What a supervisor keeps for life."""
_VARIABLES_OF_FIXED: Final = frozenset(
    ("GAIA_DATA_DIR", "DATABASE_URL", "GAIA_COMPUTE_WORKERS", "GAIA_COMPUTE_SPARES", "GAIA_METRICS_HOST",
     "GAIA_METRICS_PORT", "GAIA_LOG_FORMAT", "GAIA_LOG_LEVEL")
)  # fmt: skip


class SupervisorSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Printed as JSON by `python -m gaia.validator.utils.config`, read by the supervisor."""

    data_dir: str
    database_url: str | None = None
    """None: a private embedded PostgreSQL."""
    compute_workers: int = 2
    spare_workers: int = 0
    """Workers on top of these that stand by, warm."""
    recycle_units: int | None = None
    soft_memory_bytes: int | None = None
    hard_memory_bytes: int | None = None
    grace_s: float = 30.0
    """How long a stop waits for work in progress."""
    stall_limit_s: float = 30.0
    """An IO-Engine that has told nothing for so long is killed and started again."""
    notify_socket: str | None = None
    """Where the service manager that started us listens, as in NOTIFY_SOCKET."""
    watchdog_s: float | None = None
    """It wants to hear from us at least so often."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    """None: no endpoint. 0: any free port, written to `run/metrics.port`."""
    restart: RestartPolicy = RestartPolicy()
    log_format: Literal["json", "console"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    engine_files: int = 0
    """Files that the IO-Engine may have open besides those of its workers: database, miners, what it writes."""
    given: Mapping[str, str] = {}
    """Every setting of the validator that has a value, by its variable, as the environment would hold it but without
    passwords: to see what has changed, and for children that must not read `.env` themselves.
    """

    def taking_up(self, told: SupervisorSettings) -> SettingsChange:
        """What becomes of these while the validator runs, now that others have been read."""
        kept = {name: getattr(self, name) for name in _FIXED}
        names = {name for name in {**self.given, **told.given} if self.given.get(name) != told.given.get(name)}
        if self.database_url != told.database_url:  # its password may be what is new
            names.add("DATABASE_URL")
        given = {
            **{name: value for name, value in told.given.items() if name not in _VARIABLES_OF_FIXED},
            **{name: value for name, value in self.given.items() if name in _VARIABLES_OF_FIXED},
        }
        return SettingsChange(
            settings=msgspec.structs.replace(told, **kept, given=given),
            taken_up=tuple(sorted(names - _VARIABLES_OF_FIXED)),
            need_restart=tuple(sorted(names & _VARIABLES_OF_FIXED)),
        )

    def for_children(self) -> dict[str, str]:
        """The variables by which a child sees the settings that this supervisor goes by, whatever stands in .env by
        then; the database's address, which has a password, is not among them.
        """
        return {
            **{name: value for name, value in self.given.items() if name != "DATABASE_URL"},
            "GAIA_DATA_DIR": self.data_dir,
            "GAIA_COMPUTE_WORKERS": str(self.compute_workers),
            "GAIA_COMPUTE_SPARES": str(self.spare_workers),
        }

    @property
    def run_dir(self) -> Path:
        """What exists only while the validator runs."""
        return Path(self.data_dir) / "run"

    @property
    def engine_socket(self) -> Path:
        """Where compute workers dial the IO-Engine, in a folder that only this user can enter."""
        return self._short(self.run_dir / "engine" / "compute.sock")

    @property
    def postgres_socket_dir(self) -> Path:
        """The embedded server's socket folder, entered by the account that it runs as."""
        return self._short(Path(self.data_dir) / "postgres-socket" / ".s.PGSQL.5432.lock").parent

    @property
    def worker_cache_dir(self) -> Path:
        """What workers may keep between their lives, such as compiled kernels."""
        return Path(self.data_dir) / "cache"

    def _short(self, path: Path) -> Path:
        """The path itself, or where that is too long for a socket one of the same parent under the temporary
        folder.
        """
        if len(bytes(path)) <= _LONGEST_SOCKET_PATH_BYTES:
            return path
        digest = hashlib.sha256(bytes(Path(self.data_dir).absolute())).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"gaia-{os.geteuid()}-{digest}-{path.parent.name}" / path.name


class SettingsChange(Struct, frozen=True, kw_only=True):
    """What new settings mean for a validator that runs."""

    settings: SupervisorSettings
    """To go on with."""
    taken_up: tuple[str, ...]
    """Variables whose new value holds from now on, for the processes that are started from now on."""
    need_restart: tuple[str, ...]
    """Variables whose new value waits for a restart."""
