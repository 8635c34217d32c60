"""What new settings mean for a validator that runs. Pure."""

from __future__ import annotations

from typing import Final, Self

import msgspec
from msgspec import Struct

from gaia.validator.utils.settings import Settings, variable_name

_KEPT: Final = ("data_dir", "database_url", "compute_workers", "compute_spares", "metrics_host", "metrics_port",
                "log_format", "log_level")  # fmt: skip
"""What a supervisor keeps for life."""


class SettingsChange(Struct, frozen=True, kw_only=True):
    """From the settings that it goes by to those that it goes on with."""

    settings: Settings
    """To go on with."""
    taken_up: tuple[str, ...]
    """Variables whose new value holds from now on, for the processes that are started from now on."""
    need_restart: tuple[str, ...]
    """Variables whose new value waits for a restart."""

    @classmethod
    def of(cls, present: Settings, told: Settings) -> Self:
        """What becomes of `present` now that others have been read."""
        before, after = present.by_variable(), told.by_variable()
        changed = sorted(name for name, value in after.items() if value != before[name])
        kept = frozenset(map(variable_name, _KEPT))
        return cls(
            settings=msgspec.structs.replace(told, **{name: getattr(present, name) for name in _KEPT}),
            taken_up=tuple(name for name in changed if name not in kept),
            need_restart=tuple(name for name in changed if name in kept),
        )
