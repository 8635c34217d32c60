"""The supervisor of the soak: `python -m benchmarks.backbone.soak_supervisor FOLDER MINUTES PAUSE_S`.

The product's own over another engine, in a process that imports nothing else: its memory is one of the figures.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from benchmarks.backbone.units import REGISTRY
from gaia.validator.app.processes.child import python_module
from gaia.validator.app.supervision.supervisor import Programs
from gaia.validator.utils.settings import Settings
from gaia.validator.validator import run

MIB: Final = 1024 * 1024
WORKERS: Final = 2
SPARES: Final = 1
HARD_MEMORY_BYTES: Final = 600 * MIB


def settings_in(folder: Path) -> Settings:
    """The product's own, but for the number of workers and their limit."""
    return Settings(
        data_dir=folder / "data",
        database_url="postgresql://nobody@localhost/nothing",  # nobody here asks it anything
        compute_workers=WORKERS,
        compute_spares=SPARES,
        worker_hard_memory_mib=HARD_MEMORY_BYTES // MIB,
        drain_grace_s=5.0,
        metrics_port=0,
    )


def main(folder: Path, minutes: str, pause_s: str) -> int:
    """Be the supervisor until told to stop."""
    settings = settings_in(folder)
    engine = python_module("benchmarks.backbone.soak_engine", "--page", str(folder / "tally.json"))
    engine += ["--socket", str(settings.engine_socket), "--minutes", minutes, "--pause-s", pause_s]
    return run(lambda: settings, Programs(engine=engine, setup=(sys.executable, "-c", ""), registry=REGISTRY))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:4]))
