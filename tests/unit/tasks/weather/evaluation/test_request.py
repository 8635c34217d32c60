"""Texts of the command line."""

from __future__ import annotations

import pytest

from gaia.tasks.defined_tasks.weather.evaluation.request import (
    parse_area,
    parse_areas,
    parse_leads,
    parse_time,
    parse_variables,
)
from gaia.tasks.defined_tasks.weather.files.errors import BadRequest
from gaia.tasks.defined_tasks.weather.scoring.regions import BadRegion


def test_nothing_said_is_nothing_wanted() -> None:
    assert parse_leads(None) is None
    assert parse_variables(None) is None
    assert parse_time(None) is None


def test_variables_are_separated_by_commas() -> None:
    assert parse_variables("z500, 2t") == ("z500", "2t")
    with pytest.raises(BadRequest, match="empty entry"):
        parse_variables("z500,,2t")


@pytest.mark.parametrize("text", ["a day", "1e400"])
def test_leads_must_be_hours(text: str) -> None:
    with pytest.raises(BadRequest, match="leads must be hours"):
        parse_leads(text)


def test_short_names_of_the_extratropics() -> None:
    assert parse_area("nh").region.boxes[0].south == 20.0
    assert parse_area("sh").region.boxes[0].north == -20.0


@pytest.mark.parametrize("text", ["box:1,2,3", "box:a,b,c,d"])
def test_a_box_has_four_numbers(text: str) -> None:
    with pytest.raises(BadRequest, match="SOUTH,NORTH,WEST,EAST"):
        parse_area(text)


def test_with_a_mask_every_region_has_land_and_sea() -> None:
    names = [area.name for area in parse_areas(["global", "nh", "sea"], mask=True)]
    assert names == ["global", "land", "sea", *(f"extratropics-north{end}" for end in ("", "-land", "-sea"))]
    assert [area.name for area in parse_areas(["nh"], mask=False)] == ["extratropics-north"]
    with pytest.raises(BadRequest, match="region 'tropics-land' needs a land-sea mask: give --mask FILE"):
        parse_areas(["tropics-land"], mask=False)
    assert parse_area("box:1,2,3,4-sea").region.boxes[0].east == 4.0


def test_an_unknown_region_is_refused() -> None:
    with pytest.raises(BadRegion, match="unknown region 'atlantis'"):
        parse_area("atlantis")


def test_times_are_utc() -> None:
    found = parse_time("2017-01-01T02:00+02:00")
    assert found is not None
    assert found.isoformat() == "2017-01-01T00:00:00+00:00"
    with pytest.raises(BadRequest, match="an initial time is such as"):
        parse_time("new year")
