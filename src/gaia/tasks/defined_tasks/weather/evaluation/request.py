"""What somebody wants to have scored, and how texts such as `box:35,75,-12.5,42.5` or `6,12,24` say it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from gaia.tasks.defined_tasks.weather.files.errors import BadRequest
from gaia.tasks.defined_tasks.weather.scoring.regions import GLOBE, NORTH, SOUTH, Box, Region, Surface, region

_SHORT_REGIONS = {"nh": NORTH.name, "sh": SOUTH.name}


class Area(Struct, frozen=True, kw_only=True):
    """A region, or the land or the sea in it."""

    region: Region
    surface: Surface = Surface.ANY

    @property
    def name(self) -> str:
        """`tropics`, `tropics-land`, and of the globe just `land`."""
        if self.surface is Surface.ANY:
            return self.region.name
        return self.surface.value if self.region == GLOBE else f"{self.region.name}-{self.surface.value}"


class Request(Struct, frozen=True, kw_only=True):
    """One evaluation. Paths may carry a member, `?member=0`, and be patterns such as `fc_*.nc`."""

    forecast: tuple[str, ...]
    """One path or several, whose starts and leads are merged."""
    truth: str
    climatology: str | None = None
    reference: str | None = None
    extremes: str | None = None
    """Thresholds of what is extreme, such as the climatological 95th percentile."""
    mask: str | None = None
    """A land-sea mask, `FILE` or `FILE:variable`."""
    leads: tuple[timedelta, ...] | None = None
    """None: every lead that has a truth."""
    variables: tuple[str, ...] | None = None
    """Such as `z500`; None: all that forecast and truth share."""
    areas: tuple[Area, ...] = (Area(region=GLOBE),)
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


def parse_areas(texts: Sequence[str], *, mask: bool) -> tuple[Area, ...]:
    """The areas of these names; with a mask each is scored as a whole, on land and at sea, unless it says which.

    Raises BadRegion, and BadRequest where land or sea is named without a mask.

    >>> [area.name for area in parse_areas(["global", "nh-sea"], mask=True)]
    ['global', 'land', 'sea', 'extratropics-north-sea']
    """
    areas: list[Area] = []
    for area in map(parse_area, texts):
        if area.surface is not Surface.ANY and not mask:
            raise BadRequest(f"region {area.name!r} needs a land-sea mask: give --mask FILE")
        areas += [area] if not mask or area.surface is not Surface.ANY else _on_all_surfaces(area)
    return tuple({area.name: area for area in areas}.values())


def parse_area(text: str) -> Area:
    """A region of scoring by name, `nh` and `sh` for the extratropics, or `box:SOUTH,NORTH,WEST,EAST` in degrees.

    `land` and `sea` are those of the globe; `-land` and `-sea` behind another name are those in there. Raises
    BadRegion, BadRequest.

    >>> parse_area("box:35,75,-12.5,42.5").region.boxes[0].west
    -12.5
    >>> parse_area("tropics-sea").surface.value
    'sea'
    """
    for surface in (Surface.LAND, Surface.SEA):
        if text == surface.value:
            return Area(region=GLOBE, surface=surface)
        if text.endswith(f"-{surface.value}"):
            return Area(region=_region(text.removesuffix(f"-{surface.value}")), surface=surface)
    return Area(region=_region(text))


def _on_all_surfaces(area: Area) -> list[Area]:
    return [Area(region=area.region, surface=surface) for surface in (Surface.ANY, Surface.LAND, Surface.SEA)]


def _region(text: str) -> Region:
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
