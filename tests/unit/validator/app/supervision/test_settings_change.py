"""What a validator that runs takes up of new settings, and what it keeps."""

from __future__ import annotations

from pathlib import Path

from gaia.validator.app.supervision.settings_change import SettingsChange
from gaia.validator.utils.settings import Settings


def test_what_runs_takes_up_what_it_can_and_names_the_rest() -> None:
    present = Settings(data_dir=Path("/srv/a"), compute_workers=2)
    told = Settings(data_dir=Path("/srv/b"), compute_workers=2, drain_grace_s=9.0, schedule="manual")
    change = SettingsChange.of(present, told)
    assert change.settings == Settings(data_dir=Path("/srv/a"), compute_workers=2, drain_grace_s=9.0, schedule="manual")
    assert change.taken_up == ("GAIA_DRAIN_GRACE_S", "GAIA_SCHEDULE")
    assert change.need_restart == ("GAIA_DATA_DIR",)
    assert SettingsChange.of(change.settings, told).need_restart == ("GAIA_DATA_DIR",)  # it still does


def test_everything_that_a_supervisor_keeps_for_life_waits_for_a_restart() -> None:
    told = Settings(
        data_dir=Path("/srv/b"),
        database_url="postgresql://me@host/gaia",
        compute_workers=3,
        compute_spares=2,
        metrics_host="::1",
        metrics_port=None,
        log_format="console",
        log_level="debug",
    )
    present = Settings(data_dir=Path("/srv/a"), compute_workers=2)
    change = SettingsChange.of(present, told)
    assert (change.settings, change.taken_up) == (present, ())
    assert change.need_restart == (
        *("DATABASE_URL", "GAIA_COMPUTE_SPARES", "GAIA_COMPUTE_WORKERS", "GAIA_DATA_DIR"),
        *("GAIA_LOG_FORMAT", "GAIA_LOG_LEVEL", "GAIA_METRICS_HOST", "GAIA_METRICS_PORT"),
    )


def test_a_new_password_is_named_though_it_is_not_shown() -> None:
    present, told = (
        Settings(database_url=url) for url in ("postgresql://me:old@host/gaia", "postgresql://me:new@host/gaia")
    )
    change = SettingsChange.of(present, told)
    assert change.need_restart == ("DATABASE_URL",)
    assert change.settings.database_url == present.database_url


def test_other_tasks_wait_for_a_restart_and_their_settings_with_them() -> None:
    present = Settings(task_settings={"GAIA_TRUTH": "archive:/a"}, drain_grace_s=1.0)
    told = Settings(tasks=("m:OTHER",), task_settings={"GAIA_OTHER_X": 1}, drain_grace_s=2.0)
    change = SettingsChange.of(present, told)
    assert (change.settings.tasks, change.settings.task_settings) == (("weather",), {"GAIA_TRUTH": "archive:/a"})
    assert change.taken_up == ("GAIA_DRAIN_GRACE_S",)
    assert change.need_restart == ("GAIA_OTHER_X", "GAIA_TASKS", "GAIA_TRUTH")


def test_another_value_of_a_task_s_setting_is_taken_up() -> None:
    present = Settings(task_settings={"GAIA_TRUTH": "archive:/a"})
    change = SettingsChange.of(present, Settings(task_settings={"GAIA_TRUTH": "archive:/b"}))
    assert (change.taken_up, change.need_restart) == (("GAIA_TRUTH",), ())
    assert change.settings.task_settings == {"GAIA_TRUTH": "archive:/b"}
