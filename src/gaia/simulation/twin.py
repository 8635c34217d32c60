"""Twin experiments in the embedded world: forecasts by its own laws, from an imperfect initial state.

A forecast here must never use the truth, except for the given initial chart.
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
    """The embedded world does not allow this experiment."""


def twin_forecast(
    streamfunction: Coefficients, lead_h: Sequence[int], *, truncation: int, initial_error: float, seed: int
) -> Coefficients:
    """Forecast states (lead, m, n) at T42 in m2 s-1, zero beyond `truncation`.

    Args:
        streamfunction: The true state, (m, n) in m2 s-1.
        lead_h: The leads in hours, ascending.
        truncation: 1 to 42.
        initial_error: The root mean square error of the initial 500 hPa geopotential, as a fraction of its
            climatological standard deviation.
        seed: The seed of that error. The same seed gives the same error at every truncation.

    Raises:
        BadTwinExperiment: The truncation is out of range.
        BadInitialError: `initial_error` is out of range.
        BadHours: The leads do not ascend.
        UnstableForecast: The state became infinite.
    """
    if not 1 <= truncation <= TRUNCATION:
        raise BadTwinExperiment(
            f"the truncation must be from 1 to T{TRUNCATION}, that of the embedded world; got {truncation}"
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
    """Forecast `fields` from one chart of the embedded world. Yields (field, latitude, longitude) for each lead.

    `geopotential` is a chart (latitude, longitude) in m2 s-2 at `level_hpa` on `grid`, which must resolve T43 (4
    degrees or finer). Forecasts have the units of the variable table. Raises UnresolvedGrid, UnknownField, and the
    errors of `twin_forecast`.
    """
    maker = ChartMaker(grid)
    initial = maker.streamfunction(geopotential, level_hpa)
    for state in twin_forecast(initial, lead_h, truncation=truncation, initial_error=initial_error, seed=seed):
        yield maker.charts(state, fields)
