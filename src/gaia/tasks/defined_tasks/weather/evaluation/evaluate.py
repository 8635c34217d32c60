"""From files to a table of scores: opens, matches, checks, and has the sums taken field by field.

Owns what must fit together before anything is read: times, grids, units, areas. Holds no formula.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.evaluation.matching import Matching, match, require_leads
from gaia.tasks.defined_tasks.weather.evaluation.regridding import global_grid, regridder_to
from gaia.tasks.defined_tasks.weather.evaluation.request import Area, Request
from gaia.tasks.defined_tasks.weather.evaluation.selection import chosen_fields
from gaia.tasks.defined_tasks.weather.evaluation.summing import ProgressCallback, Summing
from gaia.tasks.defined_tasks.weather.evaluation.table import ScoreTable
from gaia.tasks.defined_tasks.weather.evaluation.table_rows import rows_of
from gaia.tasks.defined_tasks.weather.evaluation.watched_source import Source, Warnings
from gaia.tasks.defined_tasks.weather.files.series.land_mask import LandMask, read_land_mask
from gaia.tasks.defined_tasks.weather.files.series.opening import (
    CLIMATOLOGY,
    EXTREMES,
    FORECAST,
    REFERENCE,
    TRUTH,
    open_series,
)
from gaia.tasks.defined_tasks.weather.files.series.same_points import points_of
from gaia.tasks.defined_tasks.weather.files.series.series import Series, called
from gaia.tasks.defined_tasks.weather.files.series.started_series import StartedSeries
from gaia.tasks.defined_tasks.weather.files.series.unit_checks import require_same_unit
from gaia.tasks.defined_tasks.weather.scoring.grid import Grid
from gaia.tasks.defined_tasks.weather.scoring.moments import Field
from gaia.tasks.defined_tasks.weather.scoring.regions import BadRegion, Surface, region_weights

Opened = tuple[Series, int | None]


def evaluate(request: Request, on_progress: ProgressCallback | None = None) -> ScoreTable:
    """Score the files of a request. Raises a GaiaError that names file and variable and says what was expected."""
    named: dict[str, Sequence[str]] = {FORECAST: request.forecast, TRUTH: (request.truth,)}
    for what, text in (
        (CLIMATOLOGY, request.climatology),
        (REFERENCE, request.reference),
        (EXTREMES, request.extremes),
    ):
        named |= {} if text is None else {what: (text,)}
    opened = {what: open_series(texts, what) for what, texts in named.items()}
    mask = None if request.mask is None else read_land_mask(request.mask)
    return evaluate_series(opened, request, on_progress, mask=mask)


def evaluate_series(
    opened: Mapping[str, Opened],
    request: Request,
    on_progress: ProgressCallback | None = None,
    *,
    mask: LandMask | None = None,
) -> ScoreTable:
    """Score series that are open already: FORECAST, TRUTH, and CLIMATOLOGY, REFERENCE, EXTREMES if there are any."""
    warnings = Warnings()
    if request.init_time is not None:
        series, member = opened[FORECAST]
        opened = {**opened, FORECAST: (StartedSeries(series, request.init_time), member)}
    matching = _matched(opened, request, warnings)
    sources, grid, grid_words = _on_one_grid(opened, request, warnings)
    forecast, truth = sources[FORECAST], sources[TRUTH]
    fields = chosen_fields(
        request.variables, (forecast.name, forecast.series.fields()), (truth.name, truth.series.fields())
    )
    _check_units(sources, fields)
    _mention_itself(opened, warnings)
    _mention_absent(sources, fields, request, warnings)
    land = None
    if mask is not None:
        land, regridded = _land_on(grid, mask, request, warnings)
        grid_words += regridded
    weights = dict(_weights(grid, request.areas, land, warnings))
    summing = Summing(sources=sources, weights=weights, warnings=warnings)
    rows = tuple(rows_of(summing.run(fields, matching.cases, on_progress), warnings))
    names = {what: source.name for what, source in sources.items()}
    return ScoreTable(
        forecast=forecast.name,
        truth=truth.name,
        climatology=names.get(CLIMATOLOGY),
        reference=names.get(REFERENCE),
        extremes=names.get(EXTREMES),
        mask=None if mask is None else mask.name,
        grid=grid_words,
        rows=rows,
        warnings=warnings.all(),
    )


def _matched(opened: Mapping[str, Opened], request: Request, warnings: Warnings) -> Matching:
    instants = {what: series.instants() for what, (series, _) in opened.items()}
    names = {what: series.name for what, (series, _) in opened.items()}
    require_leads(instants[FORECAST], names[FORECAST])
    found = match(
        instants[FORECAST],
        instants[TRUTH],
        climatology=instants.get(CLIMATOLOGY),
        reference=instants.get(REFERENCE),
        extremes=instants.get(EXTREMES),
        wanted_leads=request.leads,
        persistence=request.persistence,
        names=names,
    )
    for left_out, why in ((found.without_truth, names[TRUTH]), (found.without_reference, names.get(REFERENCE, ""))):
        if left_out:
            what = "not scored" if left_out is found.without_truth else "has no skill against it"
            warnings.add(
                f"{why} has nothing for {len(left_out)} of {len(instants[FORECAST])} instants of the forecast, such "
                f"as the one {left_out[0]}: {what}"
            )
    for series, _ in opened.values():
        for remark in series.remarks:
            warnings.add(remark)
    return found


def _on_one_grid(
    opened: Mapping[str, Opened], request: Request, warnings: Warnings
) -> tuple[dict[str, Source], Grid, str]:
    """All files on the forecast's grid or, all regridded, on that of the request; the grid in words."""
    wanted = opened[FORECAST][0].grid if request.grid_degrees is None else global_grid(request.grid_degrees)
    words = "{} x {} points".format(*wanted.shape)
    sources = {}
    for what, (series, member) in opened.items():
        if request.grid_degrees is None:
            points, regrid = points_of(series.grid, wanted, called(what, series.name), pick=request.pick_points), None
            if points.change is not None:
                warnings.add(f"{called(what, series.name)}: {points.change}")
        else:
            points = points_of(series.grid, series.grid, series.name)
            regrid, how = regridder_to(wanted, series, what)
            words += f"; {what} {how}"
        sources[what] = Source(series, member, points=points, regrid=regrid, warnings=warnings)
    return sources, wanted, words


def _land_on(grid: Grid, mask: LandMask, request: Request, warnings: Warnings) -> tuple[Field, str]:
    """The share of land on the scored grid, by the same rules as the fields, and a regridding in words."""
    if request.grid_degrees is not None:
        regrid, how = regridder_to(grid, mask, "mask")
        return np.clip(regrid(mask.land), 0.0, 1.0), f"; mask {how}"  # rounding may carry a mean past 1 by 1e-7
    points = points_of(mask.grid, grid, f"the mask {mask.name}", pick=request.pick_points)
    if points.change is not None:
        warnings.add(f"the mask {mask.name}: {points.change}")
    return points.of(mask.land), ""


def _weights(
    grid: Grid, areas: Sequence[Area], land: Field | None, warnings: Warnings
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """What the points weigh in each area; a region without land has no land to be scored."""
    for area in areas:
        try:
            yield area.name, region_weights(grid, area.region, land_fraction=land, surface=area.surface)
        except BadRegion:
            if area.surface is Surface.ANY:
                raise
            region_weights(grid, area.region)
            warnings.add(f"there is no {area.surface.value} in {area.region.name}: not scored")


def _check_units(sources: Mapping[str, Source], fields: tuple[FieldId, ...]) -> None:
    truth = sources[TRUTH].series
    for what, source in sources.items():
        if what == TRUTH:
            continue
        for field in fields:
            if source.has(field):
                require_same_unit(field, (source.name, source.series.unit(field)), (truth.name, truth.unit(field)))


def _mention_itself(opened: Mapping[str, Opened], warnings: Warnings) -> None:
    (forecast, member), (truth, truth_member) = opened[FORECAST], opened[TRUTH]
    if member == truth_member and Path(forecast.name).resolve() == Path(truth.name).resolve():
        warnings.add(f"{forecast.name} is the forecast and the truth: all its errors are 0")


def _mention_absent(
    sources: Mapping[str, Source], fields: tuple[FieldId, ...], request: Request, warnings: Warnings
) -> None:
    truth = sources[TRUTH]
    if request.variables is None:
        unscored = [str(f) for f in sources[FORECAST].series.fields() if f not in fields]
        if unscored:
            warnings.add(f"{truth.name} has no {', '.join(unscored[:20])}: not scored")
    for what in (CLIMATOLOGY, REFERENCE, EXTREMES):
        source = sources.get(what)
        absent = [str(f) for f in fields if source is not None and not source.has(f)]
        if source is not None and absent:
            warnings.add(f"{called(what, source.name)} has no {', '.join(absent[:20])}: scored without it")
