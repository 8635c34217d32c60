"""Twin experiments in the embedded world: forecasts by its own laws, from an imperfect initial state.

Owns what a forecaster in that world can do. Must never read the truth beyond the initial chart it is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from gaia.contracts.errors import ValidatorFault
from gaia.protocol.run_spec import FieldId, GridSpec
from gaia.simulation.initial_error import initial_error_field
from gaia.simulation.nature import TRUNCATION, nature_model, trajectory
from gaia.simulation.spectral import Coefficients, with_truncation
from gaia.simulation.structure import ChartMaker


class BadTwinExperiment(ValidatorFault):
    """An experiment was asked for that the embedded world does not allow."""


def twin_forecast(
    streamfunction: Coefficients, lead_h: Sequence[int], *, truncation: int, initial_error: float, seed: int
) -> Coefficients:
    """Forecast states (lead, m, n) at T42, zero beyond `truncation`; m2 s-1.

    `streamfunction` (m, n) is the true state; `lead_h` ascends. `initial_error` is the root mean square error of the
    initial 500 hPa geopotential as a fraction of its climatological standard deviation; the same seed gives the same
    error at every truncation. Raises BadTwinExperiment, BadInitialError, BadHours, UnstableForecast.
    """
    if not 1 <= truncation <= TRUNCATION:
        raise BadTwinExperiment(
            f"the embedded world ends at T{TRUNCATION}; truncation must be 1 to that, got {truncation}"
        )
    disturbed = with_truncation(streamfunction, TRUNCATION) + initial_error_field(initial_error, seed)
    states = trajectory(nature_model(truncation), with_truncation(disturbed, truncation), lead_h)
    return with_truncation(states, TRUNCATION)


def forecast_charts(
    geopotential: NDArray[np.float32],
    level_hpa: int,
    grid: GridSpec,
    fields: Sequence[FieldId],
    lead_h: Sequence[int],
    *,
    truncation: int = TRUNCATION,
    initial_error: float = 0.0,
    seed: int = 0,
) -> Iterator[NDArray[np.float32]]:
    """Forecast `fields` from one chart of the embedded world: per lead, (field, latitude, longitude).

    `geopotential` (latitude, longitude) in m2 s-2 at `level_hpa` on `grid`, which must resolve T43 (4 degrees or
    finer). Values in the units of the variable table. Raises UnresolvedGrid, UnknownField and what `twin_forecast`
    raises.
    """
    maker = ChartMaker(grid)
    initial = maker.streamfunction(geopotential, level_hpa)
    for state in twin_forecast(initial, lead_h, truncation=truncation, initial_error=initial_error, seed=seed):
        yield maker.charts(state, fields)
