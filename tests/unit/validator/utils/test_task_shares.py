"""How the emission is divided among tasks: what is understood, and what is refused."""

from __future__ import annotations

import pytest

from gaia.validator.utils.task_shares import BadTaskWeights, parse_task_weights, shares_of


def test_the_only_task_has_all_of_it() -> None:
    assert shares_of({}, ["weather"]) == {"weather": 1.0}


def test_several_have_what_the_setting_says_in_the_tasks_order() -> None:
    told = parse_task_weights("stations=0.25, weather=0.75")
    assert list(shares_of(told, ["weather", "stations"]).items()) == [("weather", 0.75), ("stations", 0.25)]


def test_a_task_may_run_unpaid() -> None:
    assert shares_of({"weather": 1.0, "stations": 0.0}, ["weather", "stations"])["stations"] == 0.0


@pytest.mark.parametrize(
    "text", ["weather", "weather=", "=1", "weather=x", "weather=-0.1", "weather=1.1", "weather=nan", "a=0.5,a=0.5", ""]
)
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(BadTaskWeights, match="is no task=share"):
        parse_task_weights(text)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({}, "say of each task .* has: weather, stations"),
        ({"weather": 1.0}, "say of each task"),
        ({"weather": 0.5, "stations": 0.25, "more": 0.25}, "say of each task"),
        ({"weather": 0.9, "stations": 0.2}, "sum to 1.1, not to 1"),
    ],
)
def test_shares_that_leave_a_task_out_or_do_not_sum_to_1_are_refused(told: dict[str, float], said: str) -> None:
    with pytest.raises(BadTaskWeights, match=said):
        shares_of(told, ["weather", "stations"])
