"""How the emission is divided among the tasks: what `GAIA_TASK_WEIGHTS` says, and what holds where it says nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from gaia.contracts.errors import ConfigurationError

_TOLERANCE = 1e-9


class BadTaskWeights(ConfigurationError):
    """The shares of the tasks are not ones."""


def parse_task_weights(text: str) -> dict[str, float]:
    """Shares by task name, as in `weather=0.9,other=0.1`; raises BadTaskWeights.

    >>> parse_task_weights("weather=0.9, other=0.1")
    {'weather': 0.9, 'other': 0.1}
    """
    shares: dict[str, float] = {}
    for entry in text.split(","):
        name, _, number = (part.strip() for part in entry.partition("="))
        try:
            share = float(number)
        except ValueError:
            share = math.nan
        if not name or name in shares or not 0.0 <= share <= 1.0:
            raise BadTaskWeights(f"{entry.strip()!r} is no task=share with a share from 0 to 1, or is there twice")
        shares[name] = share
    return shares


def shares_of(told: Mapping[str, float], tasks: Sequence[str]) -> dict[str, float]:
    """The share of each of `tasks`, summing to 1; without any told all goes to the only task. Raises BadTaskWeights."""
    shares = dict(told) if told or len(tasks) != 1 else {tasks[0]: 1.0}
    if shares.keys() != set(tasks):
        raise BadTaskWeights(
            f"say of each task of GAIA_TASKS, and of no other, which share of the emission it has: {', '.join(tasks)}"
        )
    total = math.fsum(shares.values())
    if abs(total - 1.0) > _TOLERANCE:
        raise BadTaskWeights(f"the shares sum to {total:.9g}, not to 1")
    return {task: shares[task] for task in tasks}
