"""The barotropic models as miners: against persistence on real weather, against the truth in the embedded world."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gaia.miner.forecasting.forecast_child import Inputs, write_forecast
from gaia.miner.forecasting.forecast_job import STORE_NAME, ForecastJob
from gaia.miner.model import ForecastModel
from gaia.miner.model_choice import BuiltIn, ModelChoice, build_model
from gaia.miner.models.barotropic import Barotropic, EmbeddedBarotropic
from gaia.protocol.run_spec import FieldId, GridSpec, RunSpec, VariableSpec
from gaia.simulation.initial_error import SPREAD_M2_S2, random_anomaly
from gaia.simulation.nature import nature_model, rest_state, trajectory
from gaia.simulation.structure import ChartMaker
from tests.support.real_data import ERA5_GRIB, needs_real_data
from tests.unit.miner.models.states import Z500, MemoryStore

INIT = datetime(2017, 1, 1, tzinfo=UTC)
GRID = GridSpec.global_grid(3.0)
SPEC = RunSpec(
    variables=(VariableSpec(name="z", levels_hpa=(500, 850)), VariableSpec(name="t", levels_hpa=(500,))),
    lead_h=(12, 24, 36),
    scored_lead_h=(12, 24, 36),
    gate_lead_h=None,
    grid=GRID,
)


def forecast(model: ForecastModel, analysis: MemoryStore) -> dict[tuple[FieldId, int], NDArray[np.float32]]:
    return {(f, lead): v for f, lead, v in model.forecast(analysis, None, SPEC, INIT)}


def rmse(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Over the sphere, cosine-weighted."""
    weight = np.cos(np.deg2rad(90.0 - 3.0 * np.arange(61)))[:, None] * np.ones((1, 120))
    return float(np.sqrt(np.average((a.astype(np.float64) - b) ** 2, weights=weight)))


@pytest.fixture(scope="module")
def flow() -> NDArray[np.complex128]:
    """A state of the embedded world that has run for two days from noise."""
    start = rest_state() + random_anomaly((3,), 900.0)
    state: NDArray[np.complex128] = nature_model().advance(start, 2 * 86_400.0)
    return state


@pytest.fixture(scope="module")
def analysis(flow: NDArray[np.complex128]) -> MemoryStore:
    return MemoryStore(dict(zip(SPEC.fields(), ChartMaker(GRID).charts(flow, SPEC.fields()), strict=True)), GRID)


@pytest.mark.slow
def test_the_embedded_model_without_error_is_the_truth(flow: NDArray[np.complex128], analysis: MemoryStore) -> None:
    truth = trajectory(nature_model(), flow, SPEC.lead_h)
    result = forecast(EmbeddedBarotropic(42, 0.0, 0), analysis)
    for lead_h, state in zip(SPEC.lead_h, truth, strict=True):
        for field, chart in zip(SPEC.fields(), ChartMaker(GRID).charts(state, SPEC.fields()), strict=True):
            assert rmse(result[field, lead_h], chart) < 0.01 * chart.std()


@pytest.mark.slow
def test_a_larger_initial_error_gives_a_worse_forecast_and_coarse_is_worse_than_fine(
    flow: NDArray[np.complex128], analysis: MemoryStore
) -> None:
    truth = ChartMaker(GRID).charts(trajectory(nature_model(), flow, [36])[0], [Z500])[0]
    errors = [
        rmse(forecast(EmbeddedBarotropic(truncation, error, 7), analysis)[Z500, 36], truth)
        for truncation, error in ((42, 0.0), (42, 0.1), (42, 0.3), (10, 0.3))
    ]
    assert errors == sorted(errors)


def test_another_seed_is_another_error_and_the_same_seed_the_same(analysis: MemoryStore) -> None:
    first, again, other = (forecast(EmbeddedBarotropic(21, 0.2, seed), analysis)[Z500, 12] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert rmse(first, other) > 10.0


def test_in_the_real_atmosphere_only_z500_is_forecast(analysis: MemoryStore) -> None:
    result = forecast(Barotropic(21, 0.0, 0), analysis)
    assert rmse(result[Z500, 24], analysis.read(Z500)) > 1.0
    for field in (FieldId("z", 850), FieldId("t", 500)):
        np.testing.assert_array_equal(result[field, 24], analysis.read(field))


def test_the_initial_error_of_the_real_model_has_the_asked_size(analysis: MemoryStore) -> None:
    spec = RunSpec(
        variables=(VariableSpec(name="z", levels_hpa=(500,)),), lead_h=(0,), scored_lead_h=(0,),
        gate_lead_h=None, grid=GRID,
    )  # fmt: skip
    ((_, _, start),) = Barotropic(42, 0.2, 5).forecast(analysis, None, spec, INIT)
    assert rmse(start, analysis.read(Z500)) == pytest.approx(0.2 * SPREAD_M2_S2, rel=0.02)


@needs_real_data
@pytest.mark.slow
def test_barotropic_beats_persistence_on_real_z500_at_every_lead(tmp_path: Path) -> None:
    source = f"grib:{ERA5_GRIB}?member=0"
    inputs = Inputs(SPEC, tmp_path)
    results = {}
    initial = inputs.analysis(source, INIT)
    for name in (BuiltIn.BAROTROPIC, BuiltIn.PERSISTENCE):
        model = build_model(ModelChoice(name=name))
        results[name] = {(f, lead): v for f, lead, v in model.forecast(initial, None, SPEC, INIT) if f == Z500}
    persistence_gpm = {12: 39.1, 24: 63.2, 36: 76.5}  # the table in ../shared/data/MANIFEST.md
    for lead_h, expected_gpm in persistence_gpm.items():
        truth = inputs.analysis(source, INIT.replace(day=1 + lead_h // 24, hour=lead_h % 24)).read(Z500)
        persisted = rmse(results[BuiltIn.PERSISTENCE][Z500, lead_h], truth) / 9.80665
        assert persisted == pytest.approx(expected_gpm, abs=0.06)
        assert rmse(results[BuiltIn.BAROTROPIC][Z500, lead_h], truth) / 9.80665 < 0.85 * persisted


@needs_real_data
@pytest.mark.slow
@pytest.mark.parametrize("name", list(BuiltIn))
def test_every_model_writes_a_whole_forecast_from_real_data_without_a_climatology(
    name: BuiltIn, tmp_path: Path
) -> None:
    job = ForecastJob(
        model=ModelChoice(name=name), analysis=f"grib:{ERA5_GRIB}?member=0", climatology=None, spec=SPEC, init_time=INIT
    )
    digests = write_forecast(job, tmp_path)
    assert list(digests) == [key for key, _, _ in SPEC.chunks()]
    for key, digest in digests.items():
        assert (tmp_path / STORE_NAME / key).stat().st_size == digest.size_bytes
