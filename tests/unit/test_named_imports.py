"""The import paths that the v4.0 guide and outsiders name."""

from __future__ import annotations

import importlib

import pytest


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("gaia.validator.utils.ipc_types", ("WorkUnit", "ResultUnit")),
        ("gaia.validator.utils.config", ("load_settings",)),
        ("gaia.validator.app.io_engine", ("IOEngine",)),
        ("gaia.validator.app.logging_config", ("configure_logging",)),
        ("gaia.validator.miners.communicator", ("MinerCommunicator", "custom_serializer")),
        ("gaia.validator.db.setup", ("run_comprehensive_database_setup",)),
        ("gaia.validator.db.stats", ("DatabaseStatsManager",)),
        ("gaia.validator.app.jobs.worker_pool", ("WorkerPool",)),
        ("gaia.validator.app.compute.process_pool", ("ProcessPool",)),
        ("gaia.tasks.defined_tasks.base", ("GaiaTask", "TaskContext", "TaskResult")),
        ("gaia.tasks.defined_tasks.weather.task", ("WeatherTask",)),
        ("gaia.tasks.defined_tasks.weather.validator.scoring", ("handle_day1_scoring",)),
    ],
)
def test_what_the_guide_names_is_there(module: str, names: tuple[str, ...]) -> None:
    found = importlib.import_module(module)
    assert [name for name in names if not hasattr(found, name)] == []
