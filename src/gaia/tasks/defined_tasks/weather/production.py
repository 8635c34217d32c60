"""The specification of a full run: 69 fields, 40 six-hourly steps, 0.25 degree."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gaia.contracts.decoding import UNDECODABLE
from gaia.contracts.errors import ConfigurationError, GaiaError
from gaia.protocol.run_spec import GridSpec, RunSpec, VariableSpec
from gaia.tasks.defined_tasks.weather.variables import PRESSURE_LEVELS_HPA, VARIABLES

GATE_LEAD_H = 12


def production_spec() -> RunSpec:
    """The specification of a run on the real subnet."""
    return RunSpec(
        variables=tuple(
            VariableSpec(name=v.name, levels_hpa=PRESSURE_LEVELS_HPA if v.on_levels else ()) for v in VARIABLES.values()
        ),
        lead_h=tuple(range(6, 241, 6)),
        scored_lead_h=tuple(range(24, 241, 24)),
        gate_lead_h=GATE_LEAD_H,
        grid=GridSpec.global_grid(0.25),
    )


def run_spec_of(file: Path | None) -> RunSpec:
    """The specification of new runs, production's without a file; raises ConfigurationError if it cannot be used."""
    if file is None:
        return production_spec()
    try:
        return msgspec.json.decode(file.read_bytes(), type=RunSpec, strict=True)
    except OSError as error:
        raise ConfigurationError(f"GAIA_RUN_SPEC_FILE={file}: {error.strerror}") from error
    except (*UNDECODABLE, GaiaError) as error:
        raise ConfigurationError(f"GAIA_RUN_SPEC_FILE={file}: {error}") from error
