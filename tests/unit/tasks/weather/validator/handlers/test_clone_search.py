"""The search for clones on real forecasts on disk: who is whose copy, at which lead, and what is never blamed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from gaia.contracts.errors import Fault
from gaia.contracts.ids import Hotkey
from gaia.protocol.run_spec import FieldId, GridSpec, RunSpec, VariableSpec
from gaia.tasks.defined_tasks.weather.forecast.chunk_errors import ChunkNotCached
from gaia.tasks.defined_tasks.weather.forecast.forecast_writer import ForecastWriter
from gaia.tasks.defined_tasks.weather.policy.policy import DEFAULT_POLICY
from gaia.tasks.defined_tasks.weather.validator.handlers import clone_search
from gaia.tasks.defined_tasks.weather.validator.handlers.clone_search import handle_clones_unit
from gaia.tasks.defined_tasks.weather.validator.handlers.score_payloads import ClonesPayload, ClonesResult, ForecastRef
from tests.support.small_forecast import INIT_TIME, RUN_ID, FrozenForecast, flat_store, freeze

SPEC = RunSpec(
    variables=(VariableSpec(name="2t"), VariableSpec(name="z", levels_hpa=(500, 850))),
    lead_h=(12, 24, 240),
    scored_lead_h=(24, 240),
    gate_lead_h=12,
    grid=GridSpec.global_grid(30.0),
)
_BASE = {FieldId("2t"): 280.0, FieldId("z", 500): 54_000.0, FieldId("z", 850): 14_000.0}
_WAVE = np.cos(np.deg2rad(30.0 * np.arange(12)))[None, :] * np.cos(np.deg2rad(np.linspace(90, -90, 7)))[:, None]

Values = dict[FieldId, NDArray[np.float32]]


def _weather(added: float = 0.0) -> Values:
    """A wave around the globe on every field's own level, and `added` everywhere."""
    return {f: (_BASE[f] + added + 10.0 * _WAVE).astype(np.float32) for f in SPEC.fields()}


def _frozen(path: Path, added: float = 0.0, later: Mapping[int, float] | None = None) -> FrozenForecast:
    """The weather with something added, at some leads something else."""
    writer = ForecastWriter(path, SPEC, INIT_TIME)
    for _, field, lead_h in SPEC.chunks():
        writer.write(field, lead_h, _weather((later or {}).get(lead_h, added))[field])
    return freeze(path, writer.finish(), SPEC)


def _reference(path: Path, values: Values) -> str:
    return flat_store(path, values, SPEC.grid)


def _search(forecasts: Mapping[str, FrozenForecast], lead_h: int = 12, **changes: Any) -> ClonesResult:
    """Search as a worker does; `forecasts` in the order of commitment."""
    refs = tuple(
        ForecastRef(hotkey=Hotkey(name), path=str(f.path), manifest_digest=f.manifest_digest)
        for name, f in forecasts.items()
    )
    payload = ClonesPayload(run_id=RUN_ID, spec=SPEC, policy=DEFAULT_POLICY, lead_h=lead_h, forecasts=refs)
    sent = msgspec.msgpack.encode(msgspec.to_builtins(replace(payload, **changes)))
    return msgspec.convert(handle_clones_unit(msgspec.msgpack.decode(sent)), ClonesResult)


def _originals(result: ClonesResult) -> dict[str, str | None]:
    return {found.hotkey: found.original for found in result.clones}


def test_of_forecasts_that_are_one_the_first_committed_is_the_original(tmp_path: Path) -> None:
    forecasts = {
        "late": _frozen(tmp_path / "late"),
        "early": _frozen(tmp_path / "early", 0.03),
        "other": _frozen(tmp_path / "other", 1.0),  # near in z500, not in 2t
    }
    result = _search(forecasts)
    assert _originals(result) == {"early": "late"}
    assert _originals(_search(dict(reversed(list(forecasts.items()))))) == {"late": "early"}
    assert result.clones[0].mse["2t"] == pytest.approx(0.0009, rel=1e-2)
    assert result.clones[0].threshold == {"2t": 0.04, "z500": 250.0}
    assert (result.unreadable, result.uncompared, result.not_applicable) == ({}, 0, None)


def test_a_copy_at_a_scored_lead_is_found_there_whatever_it_was_at_the_gate(tmp_path: Path) -> None:
    forecasts = {"own": _frozen(tmp_path / "own"), "late": _frozen(tmp_path / "late", 5.0, {24: 0.1})}
    assert _originals(_search(forecasts)) == {}
    found = _search(forecasts, 24)
    assert (found.lead_h, _originals(found)) == (24, {"late": "own"})


def test_at_a_long_lead_more_noise_hides_no_copy(tmp_path: Path) -> None:
    # 0.3 K apart everywhere: 0.09 K2, above 0.04 and below 2.7 times that.
    forecasts = {"own": _frozen(tmp_path / "own"), "noisy": _frozen(tmp_path / "noisy", 0.3)}
    assert _originals(_search(forecasts, 24)) == {}
    found = _search(forecasts, 240)
    assert _originals(found) == {"noisy": "own"}
    assert found.clones[0].threshold["2t"] == pytest.approx(0.04 * 2.7)


def test_who_has_faded_to_the_climatology_is_nobodys_copy(tmp_path: Path) -> None:
    # At +240 h the thresholds are 2.7 times 0.04 K2 and 250 m4/s4; fields nearer to the climatology than 4 of them,
    # 0.66 K and 52 m2/s2 of root mean square, count for nothing. The two are 0.1 apart, in every field.
    forecasts = {"mine": _frozen(tmp_path / "mine", 0.5), "late": _frozen(tmp_path / "late", 0.6)}
    assert _originals(_search(forecasts, 240)) == {"late": "mine"}
    near = _reference(tmp_path / "near", _weather())
    assert _originals(_search(forecasts, 240, climatology_path=near)) == {}
    far = _reference(tmp_path / "far", _weather(-100.0))
    assert _originals(_search(forecasts, 240, climatology_path=far)) == {"late": "mine"}


def test_fields_that_have_faded_do_not_count_among_those_that_agree(tmp_path: Path) -> None:
    # 2t is the climatology's and the same in both; z500 agrees too, but one field of two is not three of five.
    forecasts = {"mine": _frozen(tmp_path / "mine"), "late": _frozen(tmp_path / "late")}
    climatology = _reference(
        tmp_path / "climatology", _weather() | {FieldId("z", 500): _weather(900.0)[FieldId("z", 500)]}
    )
    assert _originals(_search(forecasts, 240)) == {"late": "mine"}
    assert _originals(_search(forecasts, 240, climatology_path=climatology)) == {}


def test_a_copy_of_a_copy_is_compared_with_the_original(tmp_path: Path) -> None:
    # Each is 0.15 K from the one before it (0.0225 K2), so the third is 0.3 K from the first: no clone of it.
    forecasts = {name: _frozen(tmp_path / name, added) for name, added in (("a", 0.0), ("b", 0.15), ("c", 0.3))}
    assert _originals(_search(forecasts)) == {"b": "a"}


def test_copies_of_the_reference_have_no_other_original(tmp_path: Path) -> None:
    forecasts = {name: _frozen(tmp_path / name, added) for name, added in (("a", 0.0), ("b", 9.0), ("c", 0.0))}
    found = _search(forecasts, reference_path=_reference(tmp_path / "reference", _weather(0.01)))
    assert _originals(found) == {"a": None, "c": None}


def test_a_field_that_the_reference_lacks_is_left_out_of_the_comparison_with_it(tmp_path: Path) -> None:
    only_z = {field: values for field, values in _weather().items() if field.variable == "z"}
    forecasts = {"a": _frozen(tmp_path / "a", 1.0), "b": _frozen(tmp_path / "b", 2.0)}
    found = _search(forecasts, reference_path=_reference(tmp_path / "reference", only_z))
    assert _originals(found) == {"a": None, "b": None}  # in z500 alone they are the reference
    assert set(found.clones[0].mse) == {"z500"}


def test_one_broken_forecast_does_not_stop_the_search(tmp_path: Path) -> None:
    forecasts = {name: _frozen(tmp_path / name) for name in "abc"}
    chunk = tmp_path / "b" / "2t/c/0/0/0"
    changed = bytearray(chunk.read_bytes())
    changed[-1] ^= 1
    chunk.write_bytes(changed)
    result = _search(forecasts)
    assert result.unreadable == {"b": "chunk_digest_mismatch"}
    assert _originals(result) == {"c": "a"}


def test_our_own_missing_file_is_not_blamed_on_the_miner(tmp_path: Path) -> None:
    forecast = _frozen(tmp_path / "a")
    (tmp_path / "a" / "2t/c/0/0/0").unlink()
    with pytest.raises(ChunkNotCached) as raised:
        _search({"a": forecast})
    assert raised.value.fault is Fault.VALIDATOR


def test_a_crowd_that_is_alike_in_outline_costs_a_bounded_number_of_comparisons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With one block for the globe, fields of one mean are alike in outline, however far apart they are.
    monkeypatch.setattr("gaia.tasks.defined_tasks.weather.policy.clones._BANDS", 1)
    monkeypatch.setattr("gaia.tasks.defined_tasks.weather.policy.clones._SECTORS", 1)
    monkeypatch.setattr(clone_search, "_IN_FULL", 2)
    forecasts = {}
    for number in range(5):
        path = tmp_path / f"m{number}"
        writer = ForecastWriter(path, SPEC, INIT_TIME)
        for _, field, lead_h in SPEC.chunks():
            writer.write(field, lead_h, np.roll(_weather()[field], 2 * number, axis=1))
        forecasts[path.name] = freeze(path, writer.finish(), SPEC)
    result = _search(forecasts)
    # With 0, 1, 2, 3 and 4 before them, two at most are compared.
    assert (_originals(result), result.uncompared) == ({}, 1 + 2)


def test_no_crowd_of_decoys_hides_a_copy_of_the_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each decoy has the copy's outline to the last digit, and the reference has not; in full they are far apart."""
    monkeypatch.setattr("gaia.tasks.defined_tasks.weather.policy.clones._BANDS", 1)
    monkeypatch.setattr("gaia.tasks.defined_tasks.weather.policy.clones._SECTORS", 1)
    monkeypatch.setattr(clone_search, "_IN_FULL", 2)
    forecasts = {}
    for name, turned in (("decoy1", 2), ("decoy2", 4), ("decoy3", 6), ("copy", 0)):
        writer = ForecastWriter(tmp_path / name, SPEC, INIT_TIME)
        for _, field, lead_h in SPEC.chunks():
            writer.write(field, lead_h, np.roll(_weather()[field], turned, axis=1))
        forecasts[name] = freeze(tmp_path / name, writer.finish(), SPEC)
    result = _search(forecasts, reference_path=_reference(tmp_path / "reference", _weather(0.1)))
    assert _originals(result) == {"copy": None}


def test_a_run_without_gate_variables_compares_nothing() -> None:
    spec = RunSpec(
        variables=(VariableSpec(name="z", levels_hpa=(850,)),),
        lead_h=(12,),
        scored_lead_h=(12,),
        gate_lead_h=None,
        grid=SPEC.grid,
    )
    result = _search({}, spec=spec)
    assert (result.clones, result.not_applicable) == ((), "the run holds no gate variable")
