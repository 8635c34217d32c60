"""The demonstration's result as JSON, for programs.

Programs rely on its keys. Geopotential is in m2/s2, as in the run; divide by 9.80665 for gpm.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from gaia.demonstration.demo_run import DemoOutcome
from gaia.protocol.run_spec import RunSpec
from gaia.tasks.defined_tasks.views import published
from gaia.tasks.defined_tasks.weather.validator.records.results import Component
from gaia.validator.leaderboard import LeaderboardRow


def as_json(outcome: DemoOutcome, init_time: datetime, spec: RunSpec) -> bytes:
    """All results of the demonstration, indented. Metrics are in the units of the variable table."""
    report = {
        "run_id": outcome.run_id,
        "init_time": init_time,
        "spec": spec,
        "leaderboard": [_row(standing, outcome) for standing in outcome.leaderboard],
        "components": [_component(component) for component in outcome.components],
        "weights": {"set": outcome.weights.set, "read_back": outcome.weights.read_back},
    }
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def _row(standing: LeaderboardRow, outcome: DemoOutcome) -> dict[str, Any]:
    return {
        "rank": standing.rank,
        "hotkey": standing.hotkey,
        "uid": standing.uid,
        "model": outcome.models[standing.hotkey],
        "score": standing.score,
        "emission_weight": standing.emission_weight,
        "status": standing.status,
        "reason": None if standing.reason_code is None else f"{standing.reason_code}: {standing.reason}",
    }


def _component(component: Component) -> dict[str, Any]:
    """The metrics of one field at one lead."""
    return {
        "hotkey": component.hotkey,
        "lead_h": component.lead_h,
        "variable": component.variable,
        "level": component.level,
        "rmse": published(component.rmse),
        "mae": published(component.mae),
        "bias": published(component.bias),
        "acc": published(component.acc),
        "skill_clim": published(component.skill_clim),
    }
