"""Distances by hand, and the sketch that must never claim more than the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.policy.clones import Blocks, are_clones, distance, has_faded
from gaia.tasks.defined_tasks.weather.policy.policy import DEFAULT_POLICY
from gaia.tasks.defined_tasks.weather.scoring.moments import Field

_T2, _MSL, _Z500 = FieldId("2t"), FieldId("msl"), FieldId("z", 500)


def test_distance_is_the_area_weighted_mean_square() -> None:
    first = np.array([[1, 1], [2, 4]], dtype=np.float32)
    second = np.array([[0, 0], [2, 2]], dtype=np.float32)
    # Row means 1 and 2, weighted a quarter and three quarters.
    assert distance(first, second, np.array([0.25, 0.75])) == 1.75


_NEAR = {_T2: 0.039, _MSL: 399.0, FieldId("10u"): 0.039, FieldId("10v"): 0.039, _Z500: 249.0}


def test_clones_are_near_in_three_of_five_gate_fields() -> None:
    assert are_clones(_NEAR, DEFAULT_POLICY) is True
    assert are_clones({**_NEAR, _T2: 0.041, _MSL: 1e9}, DEFAULT_POLICY) is True
    assert are_clones({**_NEAR, _T2: 0.041, _MSL: 401.0, _Z500: 251.0}, DEFAULT_POLICY) is False


def test_of_fewer_gate_fields_the_share_is_rounded_up() -> None:
    # 60 % of 3, 2 and 1 fields: 2, 2 and 1 of them.
    assert are_clones({_T2: 0.0, _MSL: 0.0, _Z500: 1e9}, DEFAULT_POLICY) is True
    assert are_clones({_T2: 0.0, _MSL: 1e9, _Z500: 1e9}, DEFAULT_POLICY) is False
    assert are_clones({_T2: 0.0, _MSL: 1e9}, DEFAULT_POLICY) is False
    assert are_clones({_T2: 0.0}, DEFAULT_POLICY) is True


def test_fields_outside_the_gate_do_not_matter() -> None:
    assert are_clones({_T2: 0.0, FieldId("z", 850): 1e9}, DEFAULT_POLICY) is True
    assert are_clones({FieldId("z", 850): 0.0}, DEFAULT_POLICY) is None


def test_at_longer_leads_more_distance_is_no_difference() -> None:
    twice = {field: 2.0 * mse for field, mse in _NEAR.items()}
    found = [are_clones(twice, DEFAULT_POLICY, lead_h) for lead_h in (12, 24, 168, 192, 240)]
    assert found == [False, False, False, True, True]  # thresholds are 1, 1, 1.7, 2.7 and 2.7 times as large


def test_a_field_has_faded_below_four_thresholds_from_the_climatology() -> None:
    # 4 x 0.04 K2 at +12 h; 4 x 2.7 x 250 (m2/s2)2 at +240 h
    assert [has_faded(mse, _T2, DEFAULT_POLICY, 12) for mse in (0.0, 0.159, 0.161)] == [True, True, False]
    assert [has_faded(mse, _Z500, DEFAULT_POLICY, 240) for mse in (2_699.0, 2_701.0)] == [True, False]
    assert not has_faded(0.0, FieldId("z", 850), DEFAULT_POLICY, 12)  # no gate field has no threshold


def _blocks(rows: int, columns: int) -> Blocks:
    return Blocks.of(np.full(rows, 1.0 / rows), columns)


@pytest.mark.parametrize(
    ("rows", "columns", "count"), [(1, 1, 1), (2, 5, 10), (7, 36, 252), (61, 120, 60 * 36), (721, 1440, 60 * 36)]
)
def test_a_sketch_is_small_and_keeps_the_mean(rows: int, columns: int, count: int) -> None:
    field = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    blocks = _blocks(rows, columns)
    sketch = blocks.sketch(field)
    assert sketch.shape == (count,)
    assert blocks.areas.sum() == pytest.approx(1.0)
    assert sketch @ blocks.areas == pytest.approx(field.mean(dtype=np.float64))


def test_a_shift_of_the_whole_field_is_seen_in_full() -> None:
    field = np.random.default_rng(0).normal(280, 10, (70, 50)).astype(np.float32)
    blocks = _blocks(70, 50)
    found = blocks.least_distances(blocks.sketch(field), blocks.sketch(field + np.float32(4)))
    assert found == pytest.approx(16.0, rel=1e-6)


def test_a_gap_in_one_of_two_fields_says_nothing() -> None:
    field = np.zeros((2, 2), dtype=np.float32)
    holed = np.array([[np.nan, 3.0], [3.0, 3.0]], dtype=np.float32)
    blocks = _blocks(2, 2)
    found = blocks.least_distances(blocks.sketch(field), blocks.sketch(holed))
    assert found == 0.75 * 9.0


_FIELDS = st.tuples(st.integers(1, 70), st.integers(1, 45)).flatmap(
    lambda shape: st.tuples(*[hnp.arrays(np.float32, shape, elements=st.floats(-1e4, 1e4, width=32))] * 2)
)


@given(_FIELDS, st.booleans())
def test_sketches_never_put_two_fields_further_apart_than_they_are(
    fields: tuple[Field, Field], bare_poles: bool
) -> None:
    first, second = fields
    weights = np.linspace(1, 3, first.shape[0])
    if bare_poles and weights.size > 1:
        weights[0] = 0.0  # as cosine weights have it
    weights /= weights.sum()
    blocks = Blocks.of(weights, first.shape[1])
    least = float(blocks.least_distances(blocks.sketch(first), blocks.sketch(second)))
    assert least <= distance(first, second, weights) * (1 + 1e-9) + 1e-9
