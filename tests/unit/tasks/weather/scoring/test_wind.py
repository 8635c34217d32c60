"""The vector error by hand, from the statistics of two components."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gaia.tasks.defined_tasks.weather.scoring.field_summary import FieldStatistics, field_statistics
from gaia.tasks.defined_tasks.weather.scoring.metrics import NothingToScore
from gaia.tasks.defined_tasks.weather.scoring.moments import Field
from gaia.tasks.defined_tasks.weather.scoring.wind import wind_metrics

_EVEN = np.array([0.5, 0.5])


def _field(north: float, south: float) -> Field:
    return np.array([[north], [south]], dtype=np.float32)


def _component(errors: tuple[float, float], usual: float, rival: float, before: float) -> FieldStatistics:
    """A truth of 0; errors at two points of equal area; the others the same at both."""
    return field_statistics(
        forecast=_field(*errors),
        truth=_field(0.0, 0.0),
        climatology=_field(usual, usual),
        reference=_field(rival, rival),
        persistence=_field(before, before),
        area_weights=_EVEN,
    )


def test_vector_errors_are_those_of_both_components() -> None:
    # du = 3, 0 and dv = 4, 5: lengths 5 and 5. Climatology: 6, 8, length 10; reference 0, 2; persistence 5, 0.
    found = wind_metrics(_component((3.0, 0.0), 6.0, 0.0, 5.0), _component((4.0, 5.0), 8.0, 2.0, 0.0))
    assert [found.mse, found.rmse] == pytest.approx([25.0, 5.0])
    assert [found.rmse_clim, found.skill_clim] == pytest.approx([10.0, 0.75])
    assert [found.rmse_ref, found.skill_ref] == pytest.approx([2.0, 1.0 - 25.0 / 4.0])
    assert [found.rmse_persistence, found.skill_persistence] == pytest.approx([5.0, 0.0])
    assert found.coverage == 1.0


def test_the_root_is_taken_after_fields_are_merged() -> None:
    weak, strong = _component((1.0, 1.0), 1.0, 1.0, 1.0), _component((7.0, 7.0), 1.0, 1.0, 1.0)
    calm = _component((0.0, 0.0), 1.0, 1.0, 1.0)
    merged = wind_metrics(FieldStatistics.total([weak, strong]), FieldStatistics.total([calm, calm]))
    assert merged.rmse == pytest.approx(math.sqrt((1.0 + 49.0) / 2))


def test_what_is_not_given_is_not_had() -> None:
    alone = field_statistics(forecast=_field(3.0, 3.0), truth=_field(0.0, 0.0), area_weights=_EVEN)
    found = wind_metrics(alone, alone)
    assert found.rmse == pytest.approx(math.sqrt(18.0))
    assert {found.rmse_clim, found.rmse_ref, found.rmse_persistence, found.skill_clim, found.skill_ref} == {None}


def test_components_of_other_points_are_no_vector() -> None:
    whole = field_statistics(forecast=_field(3.0, 3.0), truth=_field(0.0, 0.0), area_weights=_EVEN)
    half = field_statistics(forecast=_field(3.0, 3.0), truth=_field(0.0, math.nan), area_weights=_EVEN)
    with pytest.raises(NothingToScore, match=r"u covers 1 and v 0\.5 of the area"):
        wind_metrics(whole, half)
