"""The score handlers on real stores on disk: one point, aliases, frozen forecasts, broken input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from gaia.contracts.errors import Fault, MinerFault
from gaia.protocol.run_spec import FieldId, GridSpec, RunSpec, VariableSpec
from gaia.tasks.defined_tasks.weather.files.errors import MissingField, StoreMissing
from gaia.tasks.defined_tasks.weather.files.store.flat_store import FlatStore
from gaia.tasks.defined_tasks.weather.forecast.chunk_codec import encode_field
from gaia.tasks.defined_tasks.weather.forecast.chunk_errors import (
    ChunkDigestMismatch,
    ImplausibleValue,
    NonFiniteValue,
)
from gaia.tasks.defined_tasks.weather.forecast.forecast_writer import ForecastWriter
from gaia.tasks.defined_tasks.weather.policy.policy import DEFAULT_POLICY
from gaia.tasks.defined_tasks.weather.scoring.grid import GridMismatch
from gaia.tasks.defined_tasks.weather.scoring.moments import NoFiniteTruth, NonFiniteForecast
from gaia.tasks.defined_tasks.weather.validator.handlers.score_payloads import (
    Day1Payload,
    Day1Result,
    Era5Payload,
    Era5Result,
    ScoredAgainst,
)
from gaia.tasks.defined_tasks.weather.validator.scoring import (
    handle_day1_scoring,
    handle_day1_unit,
    handle_era5_unit,
)
from tests.support.small_forecast import HOTKEY, INIT_TIME, RUN_ID, FrozenForecast, flat_store, freeze

SPEC = RunSpec(
    variables=(VariableSpec(name="2t"), VariableSpec(name="z", levels_hpa=(500, 850))),
    lead_h=(12, 24),
    scored_lead_h=(24,),
    gate_lead_h=12,
    grid=GridSpec.global_grid(30.0),
)
_BASE = {FieldId("2t"): 280.0, FieldId("z", 500): 54_000.0, FieldId("z", 850): 14_000.0}
_WAVE = np.cos(np.deg2rad(30.0 * np.arange(12)))[None, :] * np.cos(np.deg2rad(np.linspace(90, -90, 7)))[:, None]

Values = dict[FieldId, NDArray[np.float32]]


def _weather(added: float = 0.0, *, amplitude: float = 10.0, spec: RunSpec = SPEC) -> Values:
    """A wave around the globe on every field's own level, and `added` everywhere."""
    return {f: (_BASE[f] + added + amplitude * _WAVE).astype(np.float32) for f in spec.fields()}


def _flat(path: Path, values: Values) -> str:
    return flat_store(path, values, SPEC.grid)


def _frozen(path: Path, values: Values) -> FrozenForecast:
    """The same fields at every lead."""
    writer = ForecastWriter(path, SPEC, INIT_TIME)
    for _, field, lead_h in SPEC.chunks():
        writer.write(field, lead_h, values[field])
    return freeze(path, writer.finish(), SPEC)


def _point(path: Path, name: str, value: float) -> Path:
    """A Zarr store of one point, no time axis."""
    point = xr.Dataset(
        {name: (("lat", "lon"), np.array([[value]], dtype=np.float32))}, coords={"lat": [51.5], "lon": [0.0]}
    )
    point.to_zarr(path)
    return path


def _send(payload: Day1Payload | Era5Payload) -> dict[str, Any]:
    """As it arrives at a worker."""
    sent: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(msgspec.to_builtins(payload)))
    return sent


def _score_payload(kind: type[Any], forecast: FrozenForecast, **paths: str | None) -> dict[str, Any]:
    return _send(
        kind(
            run_id=RUN_ID,
            hotkey=HOTKEY,
            spec=SPEC,
            policy=DEFAULT_POLICY,
            lead_h=12 if kind is Day1Payload else 24,
            forecast_path=str(forecast.path),
            manifest_digest=forecast.manifest_digest,
            **paths,
        )
    )


def test_day1_of_one_point_by_hand(tmp_path: Path) -> None:
    scores = handle_day1_scoring(
        _point(tmp_path / "miner", "2m_temperature", 281.0),
        _point(tmp_path / "gfs", "t2m", 280.0),
        str(_point(tmp_path / "clim", "2t", 278.0)),
        reference_path=_point(tmp_path / "reference", "2t", 283.0),
    )
    assert scores == {
        "day1_rmse_2t": 1.0,
        "day1_bias_2t": 1.0,
        "day1_mae_2t": 1.0,
        "day1_mse_2t": 1.0,
        "day1_acc_2t": 1.0,
        "day1_skill_clim_2t": 0.75,
        "day1_skill_ref_2t": pytest.approx(8 / 9),
        "day1_score": pytest.approx(0.6 * 8 / 9 + 0.4),
        "day1_passed": True,
        "day1_clone_of_reference": False,
    }


def test_a_climatology_that_does_not_exist_leaves_out_its_metrics(tmp_path: Path) -> None:
    scores = handle_day1_scoring(
        _point(tmp_path / "miner", "2t", 281.5), _point(tmp_path / "gfs", "2t", 280.0), tmp_path / "nowhere"
    )
    assert scores == {
        "day1_rmse_2t": 1.5,
        "day1_bias_2t": 1.5,
        "day1_mae_2t": 1.5,
        "day1_mse_2t": 2.25,
        "day1_score": None,
        "day1_passed": None,
        "day1_clone_of_reference": None,
    }


@pytest.mark.parametrize("missing", ["miner", "gfs"])
def test_a_forecast_or_analysis_that_does_not_exist_is_named(tmp_path: Path, missing: str) -> None:
    paths = {name: _point(tmp_path / name, "2t", 280.0) for name in {"miner", "gfs"} - {missing}}
    paths[missing] = tmp_path / missing
    with pytest.raises(StoreMissing, match=f"{missing} does not exist"):
        handle_day1_scoring(paths["miner"], paths["gfs"], None)


def test_level_fields_are_named_with_their_level(tmp_path: Path) -> None:
    scores = handle_day1_scoring(_flat(tmp_path / "miner", _weather(2.0)), _flat(tmp_path / "gfs", _weather()), None)
    assert scores["day1_bias_z500"] == pytest.approx(2.0, abs=1e-2)  # float32 keeps 54,000 to 0.004
    assert scores["day1_bias_z850"] == pytest.approx(2.0, abs=1e-3)


def test_stores_without_a_field_in_common_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingField, match=r"none of the fields of .*: 2t"):
        handle_day1_scoring(_point(tmp_path / "miner", "msl", 101325.0), _point(tmp_path / "gfs", "2t", 280.0), None)


def test_points_in_different_places_are_refused(tmp_path: Path) -> None:
    elsewhere = xr.Dataset(
        {"2t": (("lat", "lon"), np.array([[280.0]], dtype=np.float32))}, coords={"lat": [52.0], "lon": [0.0]}
    )
    elsewhere.to_zarr(tmp_path / "gfs")
    with pytest.raises(GridMismatch, match=r"the forecast .*miner is 51\.5 degrees, expected 52"):
        handle_day1_scoring(_point(tmp_path / "miner", "2t", 280.0), tmp_path / "gfs", None)


def test_the_day1_unit_scores_the_gate_fields(tmp_path: Path) -> None:
    forecast = _frozen(tmp_path / "forecast", _weather(1.0))
    value = handle_day1_unit(
        _score_payload(
            Day1Payload,
            forecast,
            truth_path=_flat(tmp_path / "truth", _weather()),
            climatology_path=_flat(tmp_path / "climatology", _weather(amplitude=0.0)),
            reference_path=_flat(tmp_path / "reference", _weather(50.0)),
        )
    )
    result = msgspec.convert(value, Day1Result)
    assert {name.rsplit("_", 1)[1] for name in result.metrics} == {"2t", "z500"}
    # Errors 1 against 50 everywhere: skill 1 - 1/2500 in both fields.
    assert result.metrics["day1_skill_ref_2t"] == pytest.approx(1 - 1 / 2500, abs=1e-5)
    correlations = [result.metrics[f"day1_acc_{field}"] for field in ("2t", "z500")]
    assert result.score == pytest.approx(0.6 * (1 - 1 / 2500) + 0.4 * (sum(correlations) / 2 + 1) / 2, abs=1e-4)
    assert (result.passed, result.clone_of_reference, result.not_applicable) == (True, False, None)
    assert result.policy_digest == DEFAULT_POLICY.digest()


def test_a_copy_of_the_reference_is_found_out(tmp_path: Path) -> None:
    forecast = _frozen(tmp_path / "forecast", _weather(1.0))
    payload = _score_payload(
        Day1Payload,
        forecast,
        truth_path=_flat(tmp_path / "truth", _weather()),
        reference_path=_flat(tmp_path / "reference", _weather(1.04)),  # 0.04 K apart: 0.0016 K2 < 0.04 K2
    )
    result = msgspec.convert(handle_day1_unit(payload), Day1Result)
    assert (result.clone_of_reference, result.score) == (True, None)
    assert result.not_applicable == "no climatology for the gate variables"


def test_the_era5_unit_scores_every_field_by_hand(tmp_path: Path) -> None:
    truth = _weather()
    forecast = _frozen(tmp_path / "forecast", _weather(5.0))
    value = handle_era5_unit(
        _score_payload(
            Era5Payload,
            forecast,
            truth_path=_flat(tmp_path / "truth", truth),
            reference_path=_flat(tmp_path / "reference", _weather(10.0)),
        )
    )
    result = msgspec.convert(value, Era5Result)
    assert result.fields == (("2t", None), ("z", 500), ("z", 850))
    assert result.rmse == pytest.approx([5.0] * 3, abs=5e-3)
    assert result.bias == pytest.approx([5.0] * 3, abs=5e-3)
    assert result.skill_ref == pytest.approx([0.75] * 3, abs=1e-3)  # half the reference's error
    assert (result.acc, result.skill_clim) == ((None,) * 3, (None,) * 3)
    assert result.component == pytest.approx([0.75] * 3, abs=1e-3)
    assert result.lead_score == pytest.approx(0.75, abs=1e-3)
    assert result.lead_h == 24
    # What it takes to repeat it, by content and not by place.
    contents = FlatStore(tmp_path / "truth").header, FlatStore(tmp_path / "reference").header
    first, second = (f"blake3:{header.content_digest}" for header in contents)
    assert result.against == ScoredAgainst(grid=SPEC.grid, truth=first, reference=second)
    assert first != second


def test_a_field_that_the_climatology_lacks_is_scored_without_it(tmp_path: Path) -> None:
    forecast = _frozen(tmp_path / "forecast", _weather(5.0))
    only_z = {field: v for field, v in _weather(amplitude=0.0).items() if field.variable == "z"}
    value = handle_era5_unit(
        _score_payload(
            Era5Payload,
            forecast,
            truth_path=_flat(tmp_path / "truth", _weather()),
            climatology_path=_flat(tmp_path / "climatology", only_z),
        )
    )
    result = msgspec.convert(value, Era5Result)
    assert [acc is None for acc in result.acc] == [True, False, False]
    assert None not in result.component


def test_the_same_unit_gives_the_same_digits(tmp_path: Path) -> None:
    forecast = _frozen(tmp_path / "forecast", _weather(3.3))
    payload = _score_payload(Era5Payload, forecast, truth_path=_flat(tmp_path / "truth", _weather()))
    assert handle_era5_unit(payload) == handle_era5_unit(payload)


def test_a_truth_without_a_wanted_field_is_the_sources_fault(tmp_path: Path) -> None:
    forecast = _frozen(tmp_path / "forecast", _weather())
    half = {FieldId("2t"): _weather()[FieldId("2t")]}
    with pytest.raises(MissingField, match="z500") as raised:
        handle_era5_unit(_score_payload(Era5Payload, forecast, truth_path=_flat(tmp_path / "truth", half)))
    assert raised.value.fault is Fault.SOURCE


def test_a_truth_without_values_names_its_field(tmp_path: Path) -> None:
    forecast = _frozen(tmp_path / "forecast", _weather())
    truth = _weather()
    truth[FieldId("z", 850)][:] = np.nan
    with pytest.raises(NoFiniteTruth, match="field z850: the truth has not one finite value"):
        handle_era5_unit(_score_payload(Era5Payload, forecast, truth_path=_flat(tmp_path / "truth", truth)))


def test_a_forecast_with_a_hole_names_its_field(tmp_path: Path) -> None:
    holed = _weather()
    holed[FieldId("z", 500)][3, 4] = np.nan
    with pytest.raises(NonFiniteForecast, match="field z500"):
        handle_day1_scoring(_flat(tmp_path / "miner", holed), _flat(tmp_path / "gfs", _weather()), None)


@pytest.mark.parametrize(
    ("bad", "refused", "says"),
    [
        (1e6, ImplausibleValue, r"holds 1000000 m2 s-2 at latitude index 2, longitude index 5; plausible is -15000 to"),
        (np.nan, NonFiniteValue, "holds nan at latitude index 2, longitude index 5; every value must be finite"),
        (-np.inf, NonFiniteValue, "holds -inf at latitude index 2"),
    ],
)
@pytest.mark.parametrize("truth_has", ["a value", "a gap there", "no value at all"])
def test_an_impossible_value_is_named_and_comes_before_any_fault_of_the_truth(
    tmp_path: Path, bad: float, refused: type[MinerFault], says: str, truth_has: str
) -> None:
    values = _weather()[FieldId("z", 500)]
    values[2, 5] = bad
    forecast = _frozen(tmp_path / "forecast", _weather()).replace_chunk("z/c/1/0/0/0", encode_field(values))
    truth = _weather()
    if truth_has != "a value":
        truth[FieldId("z", 500)][(2, 5) if truth_has == "a gap there" else ...] = np.nan
    with pytest.raises(refused, match=rf"^chunk z/c/1/0/0/0 \(z at 500 hPa, lead 24 h\) {says}"):
        handle_era5_unit(_score_payload(Era5Payload, forecast, truth_path=_flat(tmp_path / "truth", truth)))


def test_a_chunk_changed_after_the_freeze_is_the_miners_fault(tmp_path: Path) -> None:
    forecast = _frozen(tmp_path / "forecast", _weather())
    chunk = forecast.path / "z/c/1/0/0/0"
    changed = bytearray(chunk.read_bytes())
    changed[-1] ^= 1
    chunk.write_bytes(changed)
    payload = _score_payload(Era5Payload, forecast, truth_path=_flat(tmp_path / "truth", _weather()))
    with pytest.raises(ChunkDigestMismatch) as raised:
        handle_era5_unit(payload)
    assert raised.value.fault is Fault.MINER
