"""What is known of a setting beside its name and type, and the part of the settings that a task brings.

Plain data, for everybody who declares settings. Nothing here reads the environment.
"""

from __future__ import annotations

from typing import Self

from msgspec import Struct


class About(Struct, frozen=True):
    """What `gaia config` says of a setting, and the bounds that its value is held to when it is read."""

    meaning: str
    ge: float | None = None
    gt: float | None = None
    le: float | None = None


class TaskSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task's own settings. Each field is annotated with an `About` and has a default."""

    def kept(self) -> Self:
        """The same values as they are to be kept. Raises ConfigurationError with a line for each value to mend, its
        variable's name first. Every command that reads the settings calls it.
        """
        return self

    def refuse_incomplete(self) -> None:
        """Raise ConfigurationError for what the task cannot run without. Called before a validator starts."""
