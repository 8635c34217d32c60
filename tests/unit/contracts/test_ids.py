"""Names of runs: the same for every validator, and nothing else passes for one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaia.contracts.ids import MalformedRunId, parse_run_id, run_id_for

HOURS = st.datetimes(min_value=datetime(1000, 1, 1), max_value=datetime(9999, 12, 31)).map(  # noqa: DTZ001
    lambda t: t.replace(minute=0, second=0, microsecond=0, tzinfo=UTC)
)


TASKS = st.from_regex(r"[a-z][a-z0-9_]{0,15}", fullmatch=True)


@given(netuid=st.integers(0, 65_535), task=TASKS, init_time=HOURS)
def test_a_run_s_name_gives_back_what_it_was_made_of(netuid: int, task: str, init_time: datetime) -> None:
    assert parse_run_id(run_id_for(netuid, task, init_time)) == (netuid, task, init_time)


@pytest.mark.parametrize("task", ["", "Weather", "2t", "a-b", "../x", "a.b", "x" * 17, "weather\n"])
def test_only_a_short_plain_word_names_a_task(task: str) -> None:
    with pytest.raises(MalformedRunId, match="not a task's name"):
        run_id_for(57, task, datetime(2017, 1, 1, tzinfo=UTC))


def test_the_name_is_the_same_in_every_timezone() -> None:
    tokyo = datetime(2017, 1, 1, 21, tzinfo=timezone(timedelta(hours=9)))
    assert run_id_for(57, "weather", tokyo) == "sn57-weather-20170101T12Z"


@pytest.mark.parametrize(
    "init_time",
    [
        datetime(2017, 1, 1, 12),  # noqa: DTZ001  that is what is refused
        datetime(2017, 1, 1, 12, 30, tzinfo=UTC),
        datetime(2017, 1, 1, 12, 0, 1, tzinfo=UTC),
        datetime(2017, 1, 1, 12, 0, 0, 1, tzinfo=UTC),
        datetime(2017, 1, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    ],
)
def test_only_a_whole_utc_hour_starts_a_run(init_time: datetime) -> None:
    with pytest.raises(MalformedRunId, match="whole UTC hour"):
        run_id_for(57, "weather", init_time)


@pytest.mark.parametrize(
    "text",
    [
        *("", "57-weather-20170101T00Z", "sn57-weather-20170101T00", "sn57-weather-2017-01-01T00Z"),
        *("sn999999-weather-20170101T00Z", "../sn57", "sn57-20170101T00Z", "sn57-Weather-20170101T00Z"),
    ],
)
def test_other_texts_are_no_run_names(text: str) -> None:
    with pytest.raises(MalformedRunId, match="not a run id"):
        parse_run_id(text)


@pytest.mark.parametrize("hour", ["20171301T00", "20170230T00", "20170101T24", "00000101T00"])
def test_a_day_that_does_not_exist_names_no_run(hour: str) -> None:
    with pytest.raises(MalformedRunId, match="not a run id"):
        parse_run_id(f"sn57-weather-{hour}Z")


def test_digits_of_other_scripts_are_no_digits() -> None:
    with pytest.raises(MalformedRunId):
        parse_run_id("sn\N{ARABIC-INDIC DIGIT FIVE}7-weather-20170101T00Z")
