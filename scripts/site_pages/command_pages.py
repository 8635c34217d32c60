"""The reference of the command line, from the signatures of its functions."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from msgspec import Struct
from typer.main import get_command
from typer.models import ArgumentInfo, OptionInfo

import gaia.cli
from gaia.cli.main import app
from site_pages.markdown import code, table

_KINDS: dict[Any, str] = {str: "text", int: "whole number", float: "number", bool: "", Path: "path", datetime: "time"}


class _Parameter(Struct, frozen=True, kw_only=True):
    """One argument or option as a reader sees it."""

    name: str
    kind: str
    default: str
    help: str
    is_option: bool
    is_repeated: bool


def commands() -> str:
    """Every command with its usage, its first paragraph and a table of what it takes, in the order of the help."""
    functions = _functions()
    names = get_command(app).commands  # type: ignore[attr-defined]  # a group has them
    return "\n\n".join(_command(f"gaia {name}", functions[name.replace("-", "_")]) for name in names)


def _functions() -> dict[str, Callable[..., Any]]:
    """What the modules of the command line define, by name: each command is the function of its name."""
    modules = (importlib.import_module(f"gaia.cli.{each.name}") for each in pkgutil.iter_modules(gaia.cli.__path__))
    return {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__
    }


def _command(path: str, function: Callable[..., Any]) -> str:
    parameters = list(_parameters(function))
    arguments = "".join(f" {each.name}{'...' if each.is_repeated else ''}" for each in parameters if not each.is_option)
    usage = path + arguments + (" [OPTIONS]" if any(each.is_option for each in parameters) else "")
    rows = [(code(each.name), each.kind, each.default, each.help) for each in parameters]
    parts = [f"## {path}", inspect.cleandoc(function.__doc__ or ""), f"```text\n{usage}\n```"]
    return "\n\n".join([*parts, table(("name", "takes", "default", "meaning"), rows)] if rows else parts)


def _parameters(function: Callable[..., Any]) -> Iterator[_Parameter]:
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        info, value = _info(hints[name], parameter.default)
        if not info.hidden:
            yield _parameter(name, hints[name], info, value)


def _written(name: str, info: ArgumentInfo | OptionInfo) -> str:
    """An option's name on the command line. In `Annotated` typer keeps the first one where a default would be."""
    told = (info.default, *(info.param_decls or ()))
    return next(
        (each for each in told if isinstance(each, str) and each.startswith("-")), f"--{name.replace('_', '-')}"
    )


def _info(hint: Any, default: Any) -> tuple[ArgumentInfo | OptionInfo, Any]:
    """What typer is told of a parameter, and its default; both ways of telling are in use."""
    if isinstance(default, (ArgumentInfo, OptionInfo)):
        return default, default.default
    (info,) = (each for each in get_args(hint)[1:] if isinstance(each, (ArgumentInfo, OptionInfo)))
    return info, default


def _parameter(name: str, hint: Any, info: ArgumentInfo | OptionInfo, value: Any) -> _Parameter:
    is_option = isinstance(info, OptionInfo)
    kind, is_repeated = _kind(hint)
    return _Parameter(
        name=_written(name, info) if is_option else info.metavar or name.upper(),
        kind=_bounded(info.metavar or kind if is_option else kind, info),
        default=_default(value),
        help=info.help or "",
        is_option=is_option,
        is_repeated=is_repeated,
    )


def _kind(hint: Any) -> tuple[str, bool]:
    """What a value is, in words, and whether there may be several."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) is Literal:
        return " or ".join(code(choice) for choice in get_args(hint)), False
    if get_origin(hint) is list:
        return f"{_kind(get_args(hint)[0])[0]}, may be repeated", True
    if get_origin(hint) is not None and type(None) in get_args(hint):
        rest = [each for each in get_args(hint) if each is not type(None)]
        return _kind(Union[tuple(rest)])  # noqa: UP007  made at run time
    return _KINDS.get(hint, hint.__name__), False


def _bounded(kind: str, info: ArgumentInfo | OptionInfo) -> str:
    if info.min is None and info.max is None:
        return kind
    return f"{kind}, {info.min if info.min is not None else ''} to {info.max if info.max is not None else ''}".strip()


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty or value is ...:
        return "must be given"
    return "" if value is None or isinstance(value, bool) else code(str(value))
