"""What somebody wants to have scored, and how texts such as `box:35,75,-12.5,42.5` or `6,12,24` say it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from gaia.tasks.defined_tasks.weather.evaluation.errors import BadRequest
from gaia.tasks.defined_tasks.weather.scoring.regions import GLOBE, NORTH, SOUTH, Box, Region, region

_SHORT_REGIONS = {"nh": NORTH.name, "sh": SOUTH.name}


class Request(Struct, frozen=True, kw_only=True):
    """One evaluation. Paths may carry a member, `?member=0`."""

    forecast: str
    truth: str
    climatology: str | None = None
    reference: str | None = None
    leads: tuple[timedelta, ...] | None = None
    """None: every lead that has a truth."""
    variables: tuple[str, ...] | None = None
    """Such as `z500`; None: all that forecast and truth share."""
    regions: tuple[Region, ...] = (GLOBE,)
    grid_degrees: float | None = None
    """Regrid everything conservatively to this spacing first."""
    pick_points: bool = False
    """Whether the forecast's points may be taken out of a finer grid."""
    persistence: bool = False
    """Whether to score against the truth at the forecast's start, too."""
    init_time: datetime | None = None
    """When the forecast started, if its file does not say."""


def parse_leads(text: str | None) -> tuple[timedelta, ...] | None:
    """Hours, separated by commas.

    >>> parse_leads("6,24") == (timedelta(hours=6), timedelta(days=1))
    True
    """
    if text is None:
        return None
    try:
        return tuple(timedelta(hours=float(part)) for part in _parts(text))
    except (ValueError, OverflowError):
        raise BadRequest(f"leads must be hours such as 24,48, got {text!r}") from None


def parse_variables(text: str | None) -> tuple[str, ...] | None:
    """Names, separated by commas."""
    return None if text is None else tuple(_parts(text))


def parse_region(text: str) -> Region:
    """A region of scoring by name, `nh` and `sh` for the extratropics, or `box:SOUTH,NORTH,WEST,EAST` in degrees.

    Raises BadRegion, BadRequest.

    >>> parse_region("box:35,75,-12.5,42.5").boxes[0].west
    -12.5
    """
    if not text.startswith("box:"):
        return region(_SHORT_REGIONS.get(text, text))
    try:
        south, north, west, east = (float(part) for part in _parts(text.removeprefix("box:")))
    except ValueError:
        raise BadRequest(f"a box is box:SOUTH,NORTH,WEST,EAST in degrees, got {text!r}") from None
    return Region(name=text, boxes=(Box(south=south, north=north, west=west, east=east),))


def parse_time(text: str | None) -> datetime | None:
    """An ISO 8601 time; without an offset it is UTC.

    >>> parse_time("2017-01-01T00").isoformat()
    '2017-01-01T00:00:00+00:00'
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"an initial time is such as 2017-01-01T00, got {text!r}") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _parts(text: str) -> Sequence[str]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise BadRequest(f"an empty entry in {text!r}")
    return parts
