"""The table of all settings, from the struct that holds them."""

from __future__ import annotations

from typing import Any, get_args

from msgspec import NODEFAULT
from msgspec.structs import FieldInfo

from gaia.contracts.setting import About
from gaia.tasks.defined_tasks.registry import defined_tasks
from gaia.validator.utils.config import fields_by_variable
from gaia.validator.utils.settings import DEFAULT_TASKS, about
from site_pages.markdown import code, table


def settings_table() -> str:
    """One row per setting, in the order in which `gaia config` shows them."""
    rows = (
        (code(variable), _default(field), _allowed(field), f"{about(field).meaning}.")
        for variable, field in fields_by_variable(defined_tasks(DEFAULT_TASKS)).items()
    )
    return table(("setting", "default", "allowed", "meaning"), rows)


def _default(field: FieldInfo) -> str:
    if field.default_factory not in (NODEFAULT, dict):
        return "depends on the machine"
    return "unset" if field.default in (None, NODEFAULT) else code(_text(field.default))


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _allowed(field: FieldInfo) -> str:
    """The bounds of a number, or the words of a choice."""
    choices = get_args(field.type.__origin__)
    if choices and all(isinstance(choice, str) for choice in choices):
        return ", ".join(code(choice) for choice in choices)
    return _bounds(about(field))


def _bounds(known: About) -> str:
    if known.ge is not None and known.le is not None:
        return f"{known.ge:g} to {known.le:g}"
    named = ((known.ge, "at least"), (known.gt, "above"), (known.le, "at most"))
    return ", ".join(f"{words} {bound:g}" for bound, words in named if bound is not None)
