"""The embedded PostgreSQL as a child of the supervisor: where it lives in a data folder, and how it is started."""

from __future__ import annotations

from pathlib import Path

from gaia.validator.app.processes.child import Child
from gaia.validator.app.supervision.supervisor_settings import SupervisorSettings
from gaia.validator.db.embedded import EmbeddedPostgres


def embedded_postgres(settings: SupervisorSettings) -> EmbeddedPostgres:
    """The private server of a data folder."""
    return EmbeddedPostgres(
        data_dir=Path(settings.data_dir) / "postgres",
        socket_dir=settings.postgres_socket_dir,
        log_path=Path(settings.data_dir) / "postgres.log",
    )


def spawn_postgres(database: EmbeddedPostgres, stderr_path: Path) -> Child:
    """Start a prepared server. Raises OSError."""
    with stderr_path.open("wb") as stderr:  # only until the server has opened its log
        return Child.spawn(database.argv(), stderr=stderr.fileno())
