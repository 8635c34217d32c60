"""Locks the data folder for one supervisor, and owns the files that exist only while it runs."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from gaia.contracts.errors import ConfigurationError
from gaia.validator.utils.settings import Settings


class DataFolderInUse(ConfigurationError):
    """Another supervisor uses this data folder."""


class RunFolder:
    """Holds the lock `gaia.lock`, which the kernel releases when the process ends. Use it with `with`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = -1

    def __enter__(self) -> RunFolder:
        """Raises DataFolderInUse, or ConfigurationError if the folder cannot be written."""
        data_dir = self._settings.data_dir
        try:
            # Other users may pass through the folder, because the embedded server runs as one. They cannot list it.
            data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
            self._lock = os.open(data_dir / "gaia.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._take_lock(data_dir)
            self._settings.run_dir.mkdir(mode=0o700, exist_ok=True)
            self._settings.worker_cache_dir.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"the data folder {data_dir} cannot be used: {error.strerror} ({error.filename}); free some space, "
                "mount it writable, or choose another with GAIA_DATA_DIR"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        self.metrics_port_file.unlink(missing_ok=True)
        self._settings.engine_socket.unlink(missing_ok=True)  # a killed engine leaves it
        for folder in (self._settings.engine_socket.parent, self._settings.postgres_socket_dir):
            with contextlib.suppress(OSError):  # it does not exist, or it holds files of others
                folder.rmdir()
        os.close(self._lock)

    @property
    def metrics_port_file(self) -> Path:
        """The file with the port of /metrics, for operators who let the system choose it."""
        return self._settings.run_dir / "metrics.port"

    def tell_metrics_port(self, port: int) -> None:
        """Delete the file of a killed supervisor, and write the new one whole or not at all. Raises OSError."""
        self.metrics_port_file.unlink(missing_ok=True)
        draft = self.metrics_port_file.with_name(".metrics.port.draft")
        try:
            draft.write_text(f"{port}\n", encoding="ascii")
            draft.rename(self.metrics_port_file)
        finally:
            draft.unlink(missing_ok=True)

    def _take_lock(self, data_dir: Path) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._lock)
            raise DataFolderInUse(
                f"another validator (pid {owner}) runs on {data_dir}: stop it, or choose another folder with "
                "GAIA_DATA_DIR"
            ) from None
        with contextlib.suppress(OSError):  # the disk is full: the message to a second validator then names no pid
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode("ascii"), 0)
