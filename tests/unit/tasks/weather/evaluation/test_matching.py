"""Which truth, climatology and reference belong to a forecast."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gaia.tasks.defined_tasks.weather.evaluation.matching import Matching, match, require_leads
from gaia.tasks.defined_tasks.weather.files.errors import BadRequest, UnmatchedTimes
from gaia.tasks.defined_tasks.weather.files.series.series import Instant

START = datetime(2020, 2, 28, tzinfo=UTC)
NAMES = {"forecast": "fc", "truth": "an", "climatology": "cl", "reference": "rf"}


def _forecast(*lead_h: int, start: datetime = START) -> list[Instant]:
    leads = [timedelta(hours=h) for h in lead_h]
    return [Instant(init_time=start, lead=lead, valid_time=start + lead) for lead in leads]


def _at(*hours: int) -> list[Instant]:
    return [Instant(valid_time=START + timedelta(hours=h)) for h in hours]


def _match(forecast: Sequence[Instant], truth: Sequence[Instant], **more: Any) -> Matching:
    return match(forecast, truth, names=NAMES, **more)


def test_the_truth_is_taken_at_the_valid_time_whatever_its_order() -> None:
    found = _match(_forecast(24, 12), _at(36, 24, 12))
    assert [case.truth.valid_time for case in found.cases] == [START + timedelta(hours=h) for h in (12, 24)]


def test_instants_without_truth_are_left_out_and_told() -> None:
    found = _match(_forecast(12, 24), _at(12))
    assert [case.lead for case in found.cases] == [timedelta(hours=12)]
    assert [instant.lead for instant in found.without_truth] == [timedelta(hours=24)]


def test_a_lead_that_was_asked_for_must_have_a_truth() -> None:
    with pytest.raises(UnmatchedTimes, match=r"an holds .* nothing valid at 2020-02-29T00:00Z, which fc"):
        _match(_forecast(12, 24), _at(12), wanted_leads=[timedelta(hours=12), timedelta(hours=24)])


def test_no_instant_in_common_is_an_error() -> None:
    with pytest.raises(UnmatchedTimes, match="2020-02-28T01Z to 2020-02-28T02Z"):
        _match(_forecast(12), _at(1, 2))


def test_a_lead_that_the_forecast_lacks_is_named() -> None:
    with pytest.raises(BadRequest, match="fc has no lead 48 h; its leads are 12, 24 h"):
        _match(_forecast(12, 24), _at(12), wanted_leads=[timedelta(hours=48)])


def test_analyses_go_before_forecasts_as_truth() -> None:
    analysis = Instant(init_time=START, lead=timedelta(), valid_time=START)
    earlier = START - timedelta(hours=6)
    forecast = Instant(init_time=earlier, lead=timedelta(hours=6), valid_time=START)
    assert _match([analysis], [forecast, analysis]).cases[0].truth is analysis


def test_single_instants_of_unknown_time_are_compared() -> None:
    assert len(_match([Instant()], [Instant()]).cases) == 1


def test_several_instants_without_leads_are_refused() -> None:
    with pytest.raises(UnmatchedTimes, match="fc holds 2 instants and no lead time"):
        require_leads(_at(0, 12), "fc")
    require_leads(_at(0), "fc")


def test_the_reference_has_the_same_start_and_lead() -> None:
    other = _forecast(12, start=START - timedelta(hours=12))
    found = _match(_forecast(0, 12), _at(0, 12), reference=[*other, *_forecast(12)])
    assert [case.reference and case.reference.init_time for case in found.cases] == [None, START]
    assert len(found.without_reference) == 1


def test_a_reference_without_anything_in_common_is_an_error() -> None:
    with pytest.raises(UnmatchedTimes, match="the reference rf has none"):
        _match(_forecast(12), _at(12), reference=_forecast(24))


def test_the_climatology_goes_by_day_of_the_year_and_hour() -> None:
    # 29 February 2020 is day 60, as WeatherBench counts.
    usual = [Instant(day_of_year=day, hour=hour) for day in (59, 60) for hour in (0, 12)]
    found = _match(_forecast(12, 24), _at(12, 24), climatology=usual)
    assert [(c.climatology.day_of_year, c.climatology.hour) for c in found.cases if c.climatology] == [
        (59, 12),
        (60, 0),
    ]


def test_the_climatology_goes_by_month() -> None:
    found = _match(_forecast(48), _at(48), climatology=[Instant(month=m) for m in (2, 3)])
    assert [c.climatology.month for c in found.cases if c.climatology] == [3]


def test_one_field_is_a_climatology_for_any_time() -> None:
    assert _match([Instant()], [Instant()], climatology=[Instant()]).cases[0].climatology == Instant()


def test_a_climatology_without_the_day_is_an_error() -> None:
    with pytest.raises(UnmatchedTimes, match="the climatology cl has 0 fields for 2020-02-28T12:00Z"):
        _match(_forecast(12), _at(12), climatology=[Instant(month=7)])
    with pytest.raises(UnmatchedTimes, match="depends on the time"):
        _match([Instant()], [Instant()], climatology=[Instant(month=7)])


def test_persistence_is_the_truth_at_the_start() -> None:
    found = _match(_forecast(12), _at(0, 12), persistence=True)
    assert found.cases[0].start == _at(0)[0]
    with pytest.raises(UnmatchedTimes, match="persistence needs the truth at the forecast's start, 2020-02-28T00:00Z"):
        _match(_forecast(12), _at(12), persistence=True)
