"""The specification of a full run, against the design's figures."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gaia.contracts.errors import ConfigurationError
from gaia.tasks.defined_tasks.weather.policy.policy import DEFAULT_POLICY
from gaia.tasks.defined_tasks.weather.production import production_spec, run_spec_of
from tests.support.small_forecast import SPEC


def test_a_full_run_has_69_fields_and_40_six_hourly_steps_at_a_quarter_degree() -> None:
    spec = production_spec()
    assert len(spec.fields()) == 69
    assert (len(spec.lead_h), spec.lead_h[0], spec.lead_h[-1]) == (40, 6, 240)
    assert {b - a for a, b in zip(spec.lead_h, spec.lead_h[1:], strict=False)} == {6}
    assert spec.grid.shape == (721, 1440)


def test_ten_days_are_scored_and_the_gate_stands_at_twelve_hours() -> None:
    spec = production_spec()
    assert spec.scored_lead_h == (24, 48, 72, 96, 120, 144, 168, 192, 216, 240)
    assert spec.gate_lead_h == 12


def test_all_fields_of_the_gate_are_asked_for() -> None:
    gate = [str(field) for field in DEFAULT_POLICY.gate_fields(production_spec().fields())]
    assert gate == ["2t", "msl", "10u", "10v", "z500"]


def test_a_full_forecast_decodes_to_about_11_and_a_half_gigabytes() -> None:
    spec = production_spec()
    assert spec.field_bytes * len(list(spec.chunks())) == 721 * 1440 * 4 * 69 * 40  # 11.46e9


def test_without_a_file_new_runs_are_production_s() -> None:
    assert run_spec_of(None) == production_spec()


def test_a_run_specification_comes_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    file.write_bytes(msgspec.json.encode(SPEC))
    assert run_spec_of(file) == SPEC


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        (b"{", "truncated"),
        (b"{}", "missing required field"),
        (b'{"variables": [{"name": "\xff"}]}', "utf-8"),
        (
            msgspec.json.encode(SPEC).replace(b'"scored_lead_h":[24]', b'"scored_lead_h":[48]'),
            "not among the committed",
        ),
    ],
)
def test_an_unusable_run_specification_is_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "spec.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=said) as caught:
        run_spec_of(file)
    assert str(caught.value).startswith(f"GAIA_RUN_SPEC_FILE={file}: ")
