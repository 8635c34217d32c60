"""Gaia: the validator of Bittensor subnet 57 and its forecast-scoring engine.

`import gaia` offers the scoring functions for people with xarray: `gaia.rmse(forecast, truth)` and the like. They
import numpy and xarray at their first use, so that importing `gaia` alone stays cheap.
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

__version__ = "4.0.0.dev0"

__all__ = ["acc", "bias", "mae", "mse", "pattern_correlation", "rmse", "score", "score_table", "skill_score"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gaia.tasks.defined_tasks.weather.evaluation import xarray_api

    return getattr(xarray_api, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
