"""Persistence, climatology and damped persistence, against numbers worked out by hand."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from gaia.miner.model import Climatology, ForecastModel
from gaia.miner.models.background import zonal_mean
from gaia.miner.models.climatology import ClimatologyForecast
from gaia.miner.models.damped import DampedPersistence, damping_factor
from gaia.miner.models.persistence import Persistence
from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.files.store.field_store import FieldStore
from tests.unit.miner.models.states import ANALYSIS, INIT, SPEC, T2M, Z500, MemoryStore, rows


def forecast(
    model: ForecastModel, climatology: Climatology | None = None
) -> dict[tuple[FieldId, int], NDArray[np.float32]]:
    return {(f, lead): v for f, lead, v in model.forecast(ANALYSIS, climatology, SPEC, INIT)}


def season(valid_time: datetime) -> FieldStore | None:
    """z500 only: 100 at the initial time, 10 more for each day."""
    days = (valid_time - INIT) / timedelta(days=1)
    return MemoryStore({Z500: np.full((2, 4), 100.0 + 10.0 * days, dtype=np.float32)})


def out_of_reach(valid_time: datetime) -> FieldStore | None:
    return None


@pytest.mark.parametrize("model", [Persistence(), ClimatologyForecast(), DampedPersistence()])
@pytest.mark.parametrize("climatology", [None, season, out_of_reach])
def test_every_field_of_every_lead_is_forecast_once(model: ForecastModel, climatology: Climatology | None) -> None:
    pieces = [(f, lead) for f, lead, _ in model.forecast(ANALYSIS, climatology, SPEC, INIT)]
    assert sorted(pieces, key=str) == sorted(((f, h) for _, f, h in SPEC.chunks()), key=str)


def test_persistence_is_the_analysis_at_every_lead() -> None:
    result = forecast(Persistence(), season)
    for lead_h in SPEC.lead_h:
        np.testing.assert_array_equal(result[Z500, lead_h], ANALYSIS.read(Z500))


def test_zonal_mean_is_the_mean_of_each_row() -> None:
    np.testing.assert_array_equal(zonal_mean(ANALYSIS.read(Z500)), rows([25.0] * 4, [2.0] * 4))


def test_climatology_without_a_climatology_is_the_zonal_mean_of_the_analysis() -> None:
    result = forecast(ClimatologyForecast())
    np.testing.assert_array_equal(result[Z500, 72], rows([25.0] * 4, [2.0] * 4))
    np.testing.assert_array_equal(result[T2M, 24], rows([283.0] * 4, [291.0] * 4))


def test_climatology_is_that_of_the_valid_time_and_absent_fields_persist() -> None:
    result = forecast(ClimatologyForecast(), season)
    assert (result[Z500, 24] == 110.0).all()
    assert (result[Z500, 72] == 130.0).all()
    np.testing.assert_array_equal(result[T2M, 72], ANALYSIS.read(T2M))


def test_a_climatology_that_does_not_reach_the_valid_time_leaves_persistence() -> None:
    result = forecast(ClimatologyForecast(), out_of_reach)
    np.testing.assert_array_equal(result[Z500, 24], ANALYSIS.read(Z500))


def test_damping_factor_is_one_over_e_after_the_e_folding_time() -> None:
    assert damping_factor(0.0) == 1.0
    assert damping_factor(72.0) == pytest.approx(1.0 / math.e, rel=1e-15)
    assert damping_factor(144.0) == pytest.approx(0.1353352832366127, rel=1e-15)  # e**-2


def test_damped_anomaly_fades_toward_the_climatology_of_the_valid_time() -> None:
    result = forecast(DampedPersistence(), season)
    # first point: anomaly 10 - 100 = -90; after 72 h the climatology is 130 and 1/e of that is left
    assert result[Z500, 72][0, 0] == pytest.approx(130.0 - 90.0 / math.e, rel=1e-6)
    np.testing.assert_array_equal(result[T2M, 72], ANALYSIS.read(T2M))


def test_damped_anomaly_fades_toward_the_zonal_mean_without_a_climatology() -> None:
    result = forecast(DampedPersistence())
    assert result[Z500, 72][0, 3] == pytest.approx(25.0 + 15.0 / math.e, rel=1e-6)
    assert result[Z500, 72][1, 3] == pytest.approx(2.0 + 6.0 / math.e, rel=1e-6)


@given(hnp.arrays(np.float32, (3, 8), elements=st.floats(-1e5, 1e5, width=32)))
def test_zonal_mean_keeps_each_rows_mean_and_removes_all_else(values: NDArray[np.float32]) -> None:
    result = zonal_mean(values)
    assert (result == result[:, :1]).all()
    np.testing.assert_allclose(result[:, 0], values.astype(np.float64).mean(axis=1), rtol=1e-6, atol=1e-3)
