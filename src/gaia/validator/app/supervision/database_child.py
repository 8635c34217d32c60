"""The embedded PostgreSQL as a child of the supervisor: where it lives in a data folder, and how it is started."""

from __future__ import annotations

from pathlib import Path

from gaia.validator.app.processes.child import Child
from gaia.validator.db.embedded import EmbeddedPostgres
from gaia.validator.utils.settings import Settings


def embedded_postgres(settings: Settings) -> EmbeddedPostgres:
    """The private server of a data folder."""
    return EmbeddedPostgres(
        data_dir=settings.data_dir / "postgres",
        socket_dir=settings.postgres_socket_dir,
        log_path=settings.data_dir / "postgres.log",
    )


def spawn_postgres(database: EmbeddedPostgres, stderr_path: Path) -> Child:
    """Start a prepared server. Raises OSError."""
    with stderr_path.open("wb") as stderr:  # only until the server has opened its log
        return Child.spawn(database.argv(), stderr=stderr.fileno())
