"""The table of the scoring policy in force: every number, by the name that its class gives it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from gaia.tasks.defined_tasks.weather.policy.policy import DEFAULT_POLICY
from site_pages.markdown import code, table


def policy_table() -> str:
    """One row per number, and the digest of them all."""
    rows = [(code(name), code(value)) for name, value in _numbers("", msgspec.to_builtins(DEFAULT_POLICY))]
    return table(("name", "value"), [*rows, ("digest", code(DEFAULT_POLICY.digest()))])


def _numbers(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """A list of structs is one row each; what a struct leaves empty is left out."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _numbers(f"{path}.{name}" if path else name, inner)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield f"{path}[{number}]", ", ".join(f"{name} {each}" for name, each in inner.items() if each is not None)
    else:
        yield path, str(value)
