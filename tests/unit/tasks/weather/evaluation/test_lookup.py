"""The indices find what a search through all instants finds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gaia.tasks.defined_tasks.weather.evaluation.lookup import CalendarLookup, ForecastLookup
from gaia.tasks.defined_tasks.weather.files.series.series import Instant

START = datetime(2020, 2, 28, tzinfo=UTC)
TIMES = st.none() | st.integers(0, 2).map(lambda step: START + timedelta(hours=12 * step))
LEADS = st.none() | st.integers(0, 2).map(lambda step: timedelta(hours=12 * step))
FORECASTS = st.builds(Instant, init_time=TIMES, lead=LEADS, valid_time=TIMES)
USUAL = st.builds(
    Instant,
    month=st.none() | st.integers(2, 3),
    day_of_month=st.none() | st.integers(28, 29),
    day_of_year=st.none() | st.integers(59, 61),
    hour=st.none() | st.sampled_from([0, 12]),
)


@given(st.lists(FORECASTS, max_size=8), FORECASTS)
def test_forecasts_alike_contradict_in_nothing(instants: list[Instant], asked: Instant) -> None:
    expected = [
        other
        for other in instants
        if all(
            getattr(asked, name) is None or getattr(other, name) in (getattr(asked, name), None)
            for name in ("init_time", "lead", "valid_time")
        )
    ]
    found = ForecastLookup(instants).alike(asked)
    assert sorted(map(str, found)) == sorted(map(str, expected))


@given(st.lists(USUAL, max_size=8), st.integers(0, 4).map(lambda step: START + timedelta(hours=12 * step)))
def test_the_calendar_is_met_as_far_as_it_is_said(instants: list[Instant], moment: datetime) -> None:
    here = {
        "month": moment.month, "day_of_month": moment.day, "day_of_year": int(f"{moment:%j}"), "hour": moment.hour,
    }  # fmt: skip
    expected = [
        known
        for known in instants
        if any(getattr(known, name) is not None for name in here)
        and all(getattr(known, name) in (wanted, None) for name, wanted in here.items())
    ]
    found = CalendarLookup(instants).at(moment)
    assert sorted(map(str, found)) == sorted(map(str, expected))


def test_only_a_single_field_without_a_calendar_is_for_any_time() -> None:
    assert CalendarLookup([Instant()]).for_any_time == Instant()
    assert CalendarLookup([Instant(month=1)]).for_any_time is None
    assert CalendarLookup([Instant(), Instant()]).for_any_time is None
