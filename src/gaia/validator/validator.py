"""`python -m gaia.validator.validator`: the validator's one entry. Becomes the supervisor of all its
processes.

Settings come from `gaia.validator.utils.config`, run as a child of its own, so that this process never loads
what validates them. Exit status: 0 after a stop that was asked for, 2 for a setting or folder to mend, 1 for
the rest.
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
    """Run the validator until it is asked to stop; the exit status."""
    parser = argparse.ArgumentParser(prog="gaia.validator.validator", description="runs the validator")
    parser.add_argument("--ppid", type=int, help="stop when this parent process dies")
    options = parser.parse_args(arguments)
    return run(ask_for_settings, parent_pid=options.ppid)


def run(settings: Callable[[], Settings], programs: Programs | None = None, *, parent_pid: int | None = None) -> int:
    """Supervise, and explain on stderr what goes wrong, a line for each cause; the exit status."""
    try:
        if parent_pid is not None:
            die_with_parent(parent_pid, signal.SIGTERM)
        supervise(settings(), programs)
    except GaiaError as error:
        for line in str(error).splitlines():
            print(f"gaia: {line}", file=sys.stderr)
        return 2 if isinstance(error, ConfigurationError) else 1
    except KeyboardInterrupt:  # before there was anything to stop
        return 130
    return 0


def supervise(settings: Settings, programs: Programs | None = None) -> None:
    """Own the data folder, serve the metrics and supervise; returns after an orderly stop."""
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
    """Ask the settings' module, in a process of its own. Raises ConfigurationError with what it has to say."""
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
