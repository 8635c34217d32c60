"""Pure numerics of scoring. No files, no network, no clock: arrays in, numbers out.

The compute handlers, `gaia score` and `gaia explain` import this package. For people with xarray it offers `rmse`,
`mae`, `mse`, `bias`, `acc`, `skill_score`, `pattern_correlation`, `score` and `score_table`, which import xarray on
first use: a worker never does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gaia.tasks.defined_tasks.weather.evaluation.xarray_api import (
        acc,
        bias,
        mae,
        mse,
        pattern_correlation,
        rmse,
        score,
        score_table,
        skill_score,
    )

__all__ = ["acc", "bias", "mae", "mse", "pattern_correlation", "rmse", "score", "score_table", "skill_score"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gaia.tasks.defined_tasks.weather.evaluation import xarray_api

    return getattr(xarray_api, name)
