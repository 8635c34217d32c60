"""Finds compute handlers by name in the fixed tables of some tasks, and imports each on first use.

Nothing outside the tables can be called. The tables are also named by text, so that a worker starts fast.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from gaia.contracts.errors import ConfigurationError
from gaia.tasks.defined_tasks.definition import TaskDefinition
from gaia.tasks.defined_tasks.registry import TASKS
from gaia.validator.app.compute.unit_errors import HandlerUnavailable, HandlerUnknown

Handler = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Takes a unit's payload and returns the result's value. Both hold only types that MessagePack can carry."""


class HandlerRegistry:
    """Tables from handler name to `module:function`."""

    def __init__(self, source: str) -> None:
        """`source`: task names, or `module:attribute` of a task's definition or of a table, separated by commas.

        Raises ConfigurationError if it is not of that form.
        """
        self._source = source
        self._references = [TASKS.get(entry, entry) for entry in source.split(",")]
        for reference in self._references:
            if reference.count(":") != 1:
                raise ConfigurationError(f"a registry is a task's name or module:attribute, not {reference!r}")
        self._loaded: dict[str, Handler] = {}

    def handler(self, name: str) -> Handler:
        """The function with this name. Raises HandlerUnknown or HandlerUnavailable."""
        found = self._loaded.get(name)
        if found is None:
            found = self._loaded[name] = self._load(name)
        return found

    def _load(self, name: str) -> Handler:
        for reference in self._references:
            found = self._import(reference, f"the handler registry {reference}")
            table: Mapping[str, str] = found.handlers if isinstance(found, TaskDefinition) else found
            if name in table:
                handler: Handler = self._import(table[name], f"the handler {name}")
                return handler
        raise HandlerUnknown(f"no handler is registered as {name!r} in {self._source}")

    @staticmethod
    def _import(source: str, what: str) -> Any:
        module, _, attribute = source.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except Exception as error:  # an import may raise anything; the worker must go on
            raise HandlerUnavailable(f"{what} cannot be imported: {type(error).__name__}: {error}") from error
