"""Names of variables on the command line."""

from __future__ import annotations

import pytest

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.evaluation.selection import chosen_fields
from gaia.tasks.defined_tasks.weather.files.errors import BadRequest, MissingField

FORECAST = ("fc", (FieldId("2t"), FieldId("z", 500), FieldId("z", 850)))
TRUTH = ("an", (FieldId("z", 850), FieldId("z", 500), FieldId("2t"), FieldId("q", 500)))


def test_all_that_both_have_in_the_order_of_the_forecast() -> None:
    assert chosen_fields(None, FORECAST, TRUTH) == FORECAST[1]


def test_short_and_long_names_with_and_without_levels() -> None:
    assert chosen_fields(["geopotential_850", "t2m"], FORECAST, TRUTH) == (FieldId("2t"), FieldId("z", 850))
    assert chosen_fields(["z"], FORECAST, TRUTH) == (FieldId("z", 500), FieldId("z", 850))


def test_the_wind_stands_for_both_components() -> None:
    both = tuple(FieldId(name, level) for name in "uv" for level in (500, 850))
    forecast, truth = ("fc", both), ("an", both)
    assert chosen_fields(["wind850"], forecast, truth) == (FieldId("u", 850), FieldId("v", 850))
    assert chosen_fields(["wind"], forecast, truth) == both
    with pytest.raises(MissingField, match="fc has no field 10u"):
        chosen_fields(["10wind"], forecast, truth)


def test_the_file_that_lacks_a_wanted_field_is_named() -> None:
    with pytest.raises(MissingField, match="fc has no field q500"):
        chosen_fields(["q500"], FORECAST, TRUTH)
    with pytest.raises(MissingField, match="an has no field z850"):
        chosen_fields(["z"], FORECAST, ("an", (FieldId("z", 500),)))


def test_nothing_in_common_is_an_error() -> None:
    with pytest.raises(MissingField, match="no field in common"):
        chosen_fields(None, FORECAST, ("an", (FieldId("q", 500),)))


@pytest.mark.parametrize("name", ["precipitation", "2t500", "500"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(BadRequest, match="is not known"):
        chosen_fields([name], FORECAST, TRUTH)
