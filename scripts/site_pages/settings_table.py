"""The table of all settings, from the class that reads them."""

from __future__ import annotations

from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gaia.validator.utils.config import Settings, variable_name
from site_pages.markdown import code, table


def settings_table() -> str:
    """One row per setting, in the order of the class."""
    rows = ((code(variable_name(name)), *_row(field)) for name, field in Settings.model_fields.items())
    return table(("setting", "default", "allowed", "meaning"), rows)


def _row(field: FieldInfo) -> tuple[str, str, str]:
    return _default(field), _allowed(field), f"{field.description}."


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "depends on the machine"
    if field.default is PydanticUndefined:
        return "must be set"
    return "unset" if field.default is None else code(_text(field.default))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _allowed(field: FieldInfo) -> str:
    """The bounds of a number, or the words of a choice."""
    choices = getattr(field.annotation, "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return ", ".join(code(choice) for choice in choices)
    bounds = {type(each): each for each in field.metadata}
    if Ge in bounds and Le in bounds:
        return f"{bounds[Ge].ge:g} to {bounds[Le].le:g}"
    named = ((Ge, "ge", "at least"), (Gt, "gt", "above"), (Le, "le", "at most"), (Lt, "lt", "below"))
    return ", ".join(f"{words} {getattr(bounds[kind], name):g}" for kind, name, words in named if kind in bounds)
