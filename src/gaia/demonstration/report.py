"""The demonstration's result as JSON, for programs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from gaia.demonstration.play import Finale
from gaia.protocol.run_spec import RunSpec
from gaia.tasks.defined_tasks.weather.validator.records.results import Component, Standing
from gaia.tasks.defined_tasks.weather.variables import STANDARD_GRAVITY, VARIABLES


def as_json(finale: Finale, init_time: datetime, spec: RunSpec) -> bytes:
    """Everything that the demonstration found, indented. Metrics carry the unit of their variable."""
    report = {
        "run_id": finale.run_id,
        "init_time": init_time,
        "spec": spec,
        "leaderboard": [_row(standing, finale) for standing in finale.standings],
        "components": [_component(component) for component in finale.components],
        "weights": {"set": finale.weights.set, "read_back": finale.weights.read_back},
    }
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def _row(standing: Standing, finale: Finale) -> dict[str, Any]:
    return {
        "rank": standing.rank,
        "hotkey": standing.hotkey,
        "uid": standing.uid,
        "model": finale.models[standing.hotkey],
        "score": None if standing.score is None else round(standing.score, 6),
        "emission_weight": round(standing.emission_weight, 6),
        "status": standing.status,
        "reason": None if standing.reason_code is None else f"{standing.reason_code}: {standing.reason}",
    }


def _component(component: Component) -> dict[str, Any]:
    """One field's metrics; geopotential also as geopotential height, the unit that meteorologists read."""
    row = {
        name: round(value, 6) if isinstance(value, float) else value
        for name, value in msgspec.structs.asdict(component).items()
    }
    row["unit"] = VARIABLES[component.variable].unit
    if component.variable == "z":
        row["rmse_gpm"] = round(component.rmse / STANDARD_GRAVITY, 6)
    return row
