"""Finds compute handlers by name in a fixed table of `module:function`, importing each on first use.

Nothing outside the table can be called. The table itself is named by text too, so that a worker starts light.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from gaia.contracts.errors import ConfigurationError
from gaia.validator.app.compute.unit_errors import HandlerUnavailable, HandlerUnknown

Handler = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Takes a unit's payload, returns the result's value. Both hold only what MessagePack can carry."""

DEFAULT_REGISTRY = "gaia.tasks.defined_tasks.registry:HANDLERS"


class HandlerRegistry:
    """One table, `module:attribute` of a Mapping from handler name to `module:function`."""

    def __init__(self, source: str = DEFAULT_REGISTRY) -> None:
        """Raises ConfigurationError if `source` is not of that form."""
        if source.count(":") != 1:
            raise ConfigurationError(f"a registry is named module:attribute, not {source!r}")
        self._source = source
        self._loaded: dict[str, Handler] = {}

    def handler(self, name: str) -> Handler:
        """The function of that name. Raises HandlerUnknown or HandlerUnavailable."""
        found = self._loaded.get(name)
        if found is None:
            found = self._loaded[name] = self._load(name)
        return found

    def _load(self, name: str) -> Handler:
        table: Mapping[str, str] = self._import(self._source, f"the handler registry {self._source}")
        if name not in table:
            raise HandlerUnknown(f"no handler is registered as {name!r} in {self._source}")
        handler: Handler = self._import(table[name], f"the handler {name}")
        return handler

    @staticmethod
    def _import(source: str, what: str) -> Any:
        module, _, attribute = source.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except Exception as error:  # an import runs anybody's code: whatever it raises, the worker goes on
            raise HandlerUnavailable(f"{what} cannot be imported: {type(error).__name__}: {error}") from error
