"""Decides which new settings a running validator adopts. Pure."""

from __future__ import annotations

from typing import Final, Self

import msgspec
from msgspec import Struct

from gaia.validator.utils.settings import Settings

_KEPT: Final = ("data_dir", "database_url", "compute_workers", "compute_spares", "metrics_host", "metrics_port",
                "log_format", "log_level", "tasks")  # fmt: skip
"""The settings that change only at a restart. `tasks` is one, because workers and tables depend on it."""
_OF_TASKS: Final = ("task_settings", "task_weights")
"""These are kept too if `tasks` has changed, because the new values belong to other tasks."""


class SettingsChange(Struct, frozen=True, kw_only=True):
    """The settings from now on, and which variables have changed."""

    settings: Settings
    """The settings from now on."""
    taken_up: tuple[str, ...]
    """Variables whose new value holds for all processes that are started from now on."""
    need_restart: tuple[str, ...]
    """Variables whose new value waits for a restart."""

    @classmethod
    def of(cls, present: Settings, told: Settings) -> Self:
        """The change from the present settings to those that have been read."""
        kept = _KEPT if told.tasks == present.tasks else (*_KEPT, *_OF_TASKS)
        settings = msgspec.structs.replace(told, **{name: getattr(present, name) for name in kept})
        before, after, then = present.by_variable(), told.by_variable(), settings.by_variable()
        changed = sorted(name for name in before.keys() | after if before.get(name) != after.get(name))
        waiting = frozenset(name for name in changed if then.get(name) != after.get(name))
        return cls(
            settings=settings,
            taken_up=tuple(name for name in changed if name not in waiting),
            need_restart=tuple(name for name in changed if name in waiting),
        )
