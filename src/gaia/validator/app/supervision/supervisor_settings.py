"""The supervisor's settings, as plain data. The supervisor must not import the library that reads the environment."""

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
"""The settings that cannot change while a supervisor runs."""
_VARIABLES_OF_FIXED: Final = frozenset(
    ("GAIA_DATA_DIR", "DATABASE_URL", "GAIA_COMPUTE_WORKERS", "GAIA_COMPUTE_SPARES", "GAIA_METRICS_HOST",
     "GAIA_METRICS_PORT", "GAIA_LOG_FORMAT", "GAIA_LOG_LEVEL")
)  # fmt: skip


class SupervisorSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings. `python -m gaia.validator.utils.config` prints them as JSON, and the supervisor reads that."""

    data_dir: str
    database_url: str | None = None
    """None: a private embedded PostgreSQL."""
    compute_workers: int = 2
    spare_workers: int = 0
    """Further workers, started and ready to replace another one."""
    recycle_units: int | None = None
    soft_memory_bytes: int | None = None
    hard_memory_bytes: int | None = None
    grace_s: float = 30.0
    """How long a stop waits for work in progress."""
    stall_limit_s: float = 30.0
    """An IO-Engine that sends no snapshot for this long is killed and started again."""
    notify_socket: str | None = None
    """The socket of the service manager that started the validator, as in NOTIFY_SOCKET."""
    watchdog_s: float | None = None
    """The longest time between two signs of life that the service manager accepts."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    """None: no endpoint. 0: any free port, written to `run/metrics.port`."""
    restart: RestartPolicy = RestartPolicy()
    log_format: Literal["json", "console"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    engine_files: int = 0
    """The files that the IO-Engine may have open in addition to those of its workers: database, miners, output."""
    given: Mapping[str, str] = {}
    """Environment variable -> value, for every setting of the validator that has a value, without passwords. They show
    what has changed, and children get them instead of reading `.env` themselves.
    """

    def taking_up(self, told: SupervisorSettings) -> SettingsChange:
        """The settings after a reload, while the validator runs. `told` are the newly read ones."""
        kept = {name: getattr(self, name) for name in _FIXED}
        names = {name for name in {**self.given, **told.given} if self.given.get(name) != told.given.get(name)}
        if self.database_url != told.database_url:  # perhaps only its password has changed
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
        """The environment variables that give a child the supervisor's settings, even if .env has changed since.

        The database's address is not among them, because it holds a password.
        """
        return {
            **{name: value for name, value in self.given.items() if name != "DATABASE_URL"},
            "GAIA_DATA_DIR": self.data_dir,
            "GAIA_COMPUTE_WORKERS": str(self.compute_workers),
            "GAIA_COMPUTE_SPARES": str(self.spare_workers),
        }

    @property
    def run_dir(self) -> Path:
        """The folder of files that exist only while the validator runs."""
        return Path(self.data_dir) / "run"

    @property
    def engine_socket(self) -> Path:
        """The socket at which compute workers connect to the IO-Engine, in a folder that only this user can enter."""
        return self._short(self.run_dir / "engine" / "compute.sock")

    @property
    def postgres_socket_dir(self) -> Path:
        """The embedded server's socket folder. The account of the server can enter it."""
        return self._short(Path(self.data_dir) / "postgres-socket" / ".s.PGSQL.5432.lock").parent

    @property
    def worker_cache_dir(self) -> Path:
        """The folder for files that outlive a worker, such as compiled kernels."""
        return Path(self.data_dir) / "cache"

    def _short(self, path: Path) -> Path:
        """The path itself, or a path below the temporary folder if it is too long for a socket."""
        if len(bytes(path)) <= _LONGEST_SOCKET_PATH_BYTES:
            return path
        digest = hashlib.sha256(bytes(Path(self.data_dir).absolute())).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"gaia-{os.geteuid()}-{digest}-{path.parent.name}" / path.name


class SettingsChange(Struct, frozen=True, kw_only=True):
    """The effect of new settings on a running validator."""

    settings: SupervisorSettings
    """The settings from now on."""
    taken_up: tuple[str, ...]
    """Variables whose new value is used by all processes that start from now on."""
    need_restart: tuple[str, ...]
    """Variables whose new value is used only after a restart of the validator."""
