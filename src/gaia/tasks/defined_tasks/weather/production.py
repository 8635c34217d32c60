"""The specification of a full run: 69 fields, 40 six-hourly steps, 0.25 degree."""

from __future__ import annotations

from gaia.protocol.run_spec import GridSpec, RunSpec, VariableSpec
from gaia.tasks.defined_tasks.weather.variables import PRESSURE_LEVELS_HPA, VARIABLES

GATE_LEAD_H = 12


def production_spec() -> RunSpec:
    """What every miner of the real subnet is asked for."""
    return RunSpec(
        variables=tuple(
            VariableSpec(name=v.name, levels_hpa=PRESSURE_LEVELS_HPA if v.on_levels else ()) for v in VARIABLES.values()
        ),
        lead_h=tuple(range(6, 241, 6)),
        scored_lead_h=tuple(range(24, 241, 24)),
        gate_lead_h=GATE_LEAD_H,
        grid=GridSpec.global_grid(0.25),
    )
