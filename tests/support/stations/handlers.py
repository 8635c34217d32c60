"""What workers compute."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec


def handle_score(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """The root-mean-square error of each forecast against what was measured on `day`, in K."""
    measured: list[float] = msgspec.json.decode(Path(payload["truth"]).read_bytes())[payload["day"]]
    return {hotkey: _rmse(forecast, measured) for hotkey, forecast in payload["forecasts"].items()}


def _rmse(forecast: list[float], measured: list[float]) -> float:
    squares = [(f - m) ** 2 for f, m in zip(forecast, measured, strict=True)]
    return math.sqrt(math.fsum(squares) / len(squares))
