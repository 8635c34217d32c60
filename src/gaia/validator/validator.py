"""`python -m gaia.validator.validator`: starts the validator. This process becomes the supervisor of all others.

The settings come from `gaia.validator.utils.config`, which runs as a child process, so that this process never loads
the library that validates them. Exit status: 0 after a requested stop, 2 if the operator must correct a setting or
folder, 1 for other failures.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Final

from gaia.contracts.errors import ConfigurationError, GaiaError
from gaia.contracts.parent_death import die_with_parent
from gaia.validator.app.processes.child import python_module
from gaia.validator.app.supervision.open_files import allow_files, files_needed
from gaia.validator.app.supervision.run_folder import RunFolder
from gaia.validator.app.supervision.supervisor import Programs, Supervisor
from gaia.validator.app.telemetry.event_log import EventLog
from gaia.validator.app.telemetry.metrics import MetricsEndpoint
from gaia.validator.utils.settings import Settings

_SETTINGS_TIMEOUT_S: Final = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the validator until it is asked to stop. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="gaia.validator.validator", description="runs the validator")
    parser.add_argument("--ppid", type=int, help="stop when this parent process dies")
    options = parser.parse_args(arguments)
    return run(ask_for_settings, parent_pid=options.ppid)


def run(settings: Callable[[], Settings], programs: Programs | None = None, *, parent_pid: int | None = None) -> int:
    """Supervise. On an error print one line for each cause on stderr. Returns the exit status."""
    try:
        if parent_pid is not None:
            die_with_parent(parent_pid, signal.SIGTERM)
        supervise(settings(), programs)
    except GaiaError as error:
        for line in str(error).splitlines():
            print(f"gaia: {line}", file=sys.stderr)
        return 2 if isinstance(error, ConfigurationError) else 1
    except KeyboardInterrupt:  # nothing had been started yet
        return 130
    return 0


def supervise(settings: Settings, programs: Programs | None = None) -> None:
    """Lock the data folder, serve the metrics and supervise. Returns after an orderly stop."""
    log = EventLog(settings.log_format, settings.log_level)
    allow_files(files_needed(settings))
    with RunFolder(settings) as folder:
        supervisor = Supervisor(settings, log, programs)
        if settings.metrics_port is None:
            supervisor.run()
            return
        endpoint = MetricsEndpoint(settings.metrics_host, settings.metrics_port, lambda: supervisor.view)
        try:
            try:
                folder.tell_metrics_port(endpoint.port)
            except OSError as error:  # a full disk
                log.warning("metrics_port_not_written", port=endpoint.port, error=str(error))
            supervisor.run()
        finally:
            endpoint.close()


def ask_for_settings() -> Settings:
    """Read the settings in a child process. Raises ConfigurationError with its message."""
    try:
        asked = subprocess.run(
            python_module("gaia.validator.utils.config"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_SETTINGS_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigurationError(f"the settings could not be read within {_SETTINGS_TIMEOUT_S:g} s") from error
    if asked.returncode != 0:
        raise ConfigurationError(asked.stderr.decode("utf-8", errors="replace").strip() or "the settings are unusable")
    return Settings.from_json(asked.stdout)


if __name__ == "__main__":
    sys.exit(main())
