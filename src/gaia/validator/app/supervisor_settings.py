"""What the supervisor is told, as plain data: it must stay free of the library that validates the
environment.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from gaia.validator.app.restart_policy import RestartPolicy

_LONGEST_SOCKET_PATH_BYTES: Final = 100  # sun_path holds 108: unix(7)


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
