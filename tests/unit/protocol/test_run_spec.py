"""The run specification: what it refuses, and the layout that follows from it."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaia.protocol.run_spec import BadRunSpec, FieldId, GridSpec, RunSpec, VariableSpec

SMALL: dict[str, Any] = {
    "variables": (VariableSpec(name="2t"), VariableSpec(name="z", levels_hpa=(500, 850))),
    "lead_h": (6, 12, 24),
    "scored_lead_h": (24,),
    "gate_lead_h": 12,
    "grid": GridSpec.global_grid(3.0),
}
SPEC = RunSpec(**SMALL)


@pytest.mark.parametrize(
    ("degrees", "shape"), [(0.25, (721, 1440)), (1.0, (181, 360)), (3.0, (61, 120)), (10.0, (19, 36))]
)
def test_a_global_grid_has_both_poles_and_every_meridian_once(degrees: float, shape: tuple[int, int]) -> None:
    grid = GridSpec.global_grid(degrees)
    assert grid.shape == shape
    assert grid.latitude_first + grid.latitude_step * (grid.latitude_count - 1) == -90.0
    assert grid.longitude_step * grid.longitude_count == 360.0


@pytest.mark.parametrize(
    "change",
    [
        {"latitude_first": 91.0},
        {"latitude_step": -3.5},  # past the south pole
        {"latitude_step": 0.0},
        {"longitude_step": 0.0},
        {"latitude_count": 0},
        {"longitude_count": 0},
    ],
)
def test_a_grid_off_the_sphere_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(BadRunSpec, match="not a grid on the sphere"):
        msgspec.structs.replace(GridSpec.global_grid(3.0), **change)


@pytest.mark.parametrize("name", ["latitude_first", "latitude_step", "longitude_first", "longitude_step"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_grid_of_numbers_that_are_none_is_refused(name: str, value: float) -> None:
    with pytest.raises(BadRunSpec, match="not a grid on the sphere"):
        msgspec.structs.replace(GridSpec.global_grid(3.0), **{name: value})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"variables": ()}, "needs variables"),
        ({"lead_h": ()}, "needs variables, and leads"),
        ({"lead_h": (12, 6, 24)}, "ascending order"),
        ({"lead_h": (6, 12, 12, 24)}, "without repeats"),
        ({"scored_lead_h": (24, 48)}, r"scored leads \[48\] h are not among the committed ones"),
        ({"gate_lead_h": 18}, r"scored leads \[18\] h are not among the committed ones"),
        ({"variables": (VariableSpec(name="2t"), VariableSpec(name="2t"))}, "a variable is named twice"),
    ],
)
def test_a_specification_that_contradicts_itself_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRunSpec, match=said):
        RunSpec(**(SMALL | change))


def test_fields_chunks_and_shapes_of_a_small_run() -> None:
    assert [str(field) for field in SPEC.fields()] == ["2t", "z500", "z850"]
    assert list(SPEC.chunks()) == [
        ("2t/c/0/0/0", FieldId("2t"), 6),
        ("2t/c/1/0/0", FieldId("2t"), 12),
        ("2t/c/2/0/0", FieldId("2t"), 24),
        ("z/c/0/0/0/0", FieldId("z", 500), 6),
        ("z/c/0/1/0/0", FieldId("z", 850), 6),
        ("z/c/1/0/0/0", FieldId("z", 500), 12),
        ("z/c/1/1/0/0", FieldId("z", 850), 12),
        ("z/c/2/0/0/0", FieldId("z", 500), 24),
        ("z/c/2/1/0/0", FieldId("z", 850), 24),
    ]
    assert [SPEC.shape_of(variable) for variable in SPEC.variables] == [(3, 61, 120), (3, 2, 61, 120)]
    assert SPEC.field_bytes == 61 * 120 * 4


def test_the_digest_is_that_of_the_sorted_json() -> None:
    canonical = json.dumps(json.loads(msgspec.json.encode(SPEC)), sort_keys=True, separators=(",", ":"))
    assert SPEC.digest() == hashlib.sha256(canonical.encode()).hexdigest()


def test_whole_degrees_may_be_given_as_whole_numbers() -> None:
    """Else one grid would have two digests, and miners and validators would not speak of the same run."""
    assert RunSpec(**(SMALL | {"grid": GridSpec.global_grid(3)})).digest() == SPEC.digest()


@pytest.mark.parametrize(
    "change", [{"lead_h": (6, 12, 24, 30)}, {"gate_lead_h": None}, {"grid": GridSpec.global_grid(6.0)}]
)
def test_another_specification_has_another_digest(change: dict[str, Any]) -> None:
    assert RunSpec(**(SMALL | change)).digest() != SPEC.digest()


@given(
    levels=st.lists(st.lists(st.integers(1, 1000), unique=True, max_size=4), min_size=1, max_size=5),
    lead_h=st.lists(st.integers(1, 240), unique=True, min_size=1, max_size=6).map(sorted),
)
def test_there_is_one_chunk_for_each_field_and_lead(levels: list[list[int]], lead_h: list[int]) -> None:
    spec = RunSpec(
        variables=tuple(VariableSpec(name=f"v{number}", levels_hpa=tuple(each)) for number, each in enumerate(levels)),
        lead_h=tuple(lead_h),
        scored_lead_h=tuple(lead_h[:1]),
        gate_lead_h=None,
        grid=GridSpec.global_grid(30.0),
    )
    chunks = list(spec.chunks())
    assert len({key for key, _, _ in chunks}) == len(chunks)
    assert sorted(((field, lead) for _, field, lead in chunks), key=str) == sorted(
        ((field, lead) for field in spec.fields() for lead in lead_h), key=str
    )
    assert msgspec.json.decode(msgspec.json.encode(spec), type=RunSpec) == spec
