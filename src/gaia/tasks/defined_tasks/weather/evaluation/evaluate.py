"""From files to a table of scores: opens, matches, reads field by field, and lets `scoring` do the sums.

Owns the order of reading: at any time there is one field of each file in memory, and one block of chunks. Holds no
formula.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as data_field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.evaluation.matching import Case, Matching, match, require_leads, started_at
from gaia.tasks.defined_tasks.weather.evaluation.opening import CLIMATOLOGY, FORECAST, REFERENCE, TRUTH, open_series
from gaia.tasks.defined_tasks.weather.evaluation.points import points_of
from gaia.tasks.defined_tasks.weather.evaluation.reading import Source, Warnings
from gaia.tasks.defined_tasks.weather.evaluation.regridding import global_grid, regridder_to
from gaia.tasks.defined_tasks.weather.evaluation.request import Request
from gaia.tasks.defined_tasks.weather.evaluation.selection import chosen_fields
from gaia.tasks.defined_tasks.weather.evaluation.series import Series, hours
from gaia.tasks.defined_tasks.weather.evaluation.table import ScoreRow, ScoreTable
from gaia.tasks.defined_tasks.weather.evaluation.units import require_same_unit, suspicion
from gaia.tasks.defined_tasks.weather.scoring.ensemble import EnsembleSums, ensemble_metrics, ensemble_sums
from gaia.tasks.defined_tasks.weather.scoring.evaluate import FieldStatistics, all_metrics, field_statistics
from gaia.tasks.defined_tasks.weather.scoring.grid import Grid, GridMismatch
from gaia.tasks.defined_tasks.weather.scoring.moments import (
    BadField,
    Field,
    NoFiniteTruth,
    NonFiniteForecast,
)
from gaia.tasks.defined_tasks.weather.scoring.regions import region_weights
from gaia.tasks.defined_tasks.weather.variables import VARIABLES

Progress = Callable[[int, int], None]
"""(fields done, fields in all)."""
Opened = tuple[Series, int | None]
_Key = tuple[FieldId, float | None, str]


@dataclass(frozen=True, kw_only=True)
class _Sums:
    """What has been summed up, by field, lead and region."""

    statistics: dict[_Key, list[FieldStatistics]] = data_field(default_factory=lambda: defaultdict(list))
    ensembles: dict[_Key, list[EnsembleSums]] = data_field(default_factory=lambda: defaultdict(list))


def evaluate(request: Request, on_progress: Progress | None = None) -> ScoreTable:
    """Score the files of a request. Raises a GaiaError that names file and variable and says what was expected."""
    named = {
        FORECAST: request.forecast,
        TRUTH: request.truth,
        CLIMATOLOGY: request.climatology,
        REFERENCE: request.reference,
    }
    opened = {what: open_series(text, what) for what, text in named.items() if text is not None}
    return evaluate_series(opened, request, on_progress)


def evaluate_series(opened: Mapping[str, Opened], request: Request, on_progress: Progress | None = None) -> ScoreTable:
    """Score series that are open already: FORECAST, TRUTH, and CLIMATOLOGY and REFERENCE if there are any."""
    warnings = Warnings()
    matching = _matched(opened, request, warnings)
    sources, grid, grid_words = _on_one_grid(opened, request, warnings)
    forecast, truth = sources[FORECAST], sources[TRUTH]
    fields = chosen_fields(
        request.variables, (forecast.name, forecast.series.fields()), (truth.name, truth.series.fields())
    )
    _check_units(sources, fields)
    _mention_absent(sources, fields, request, warnings)
    evaluation = _Evaluation(
        sources=sources,
        weights={region.name: region_weights(grid, region) for region in request.regions},
        warnings=warnings,
    )
    sums = evaluation.run(fields, matching.cases, on_progress)
    return ScoreTable(
        forecast=forecast.name,
        truth=truth.name,
        climatology=sources[CLIMATOLOGY].name if CLIMATOLOGY in sources else None,
        reference=sources[REFERENCE].name if REFERENCE in sources else None,
        grid=grid_words,
        rows=tuple(_rows(sums)),
        warnings=warnings.all(),
    )


class _Evaluation:
    """The loop over fields and cases."""

    def __init__(
        self, *, sources: Mapping[str, Source], weights: Mapping[str, NDArray[np.float64]], warnings: Warnings
    ) -> None:
        self._forecast = sources[FORECAST]
        self._truth = sources[TRUTH]
        self._climatology = sources.get(CLIMATOLOGY)
        self._reference = sources.get(REFERENCE)
        self._weights = weights
        self._warnings = warnings
        self._sums = _Sums()

    def run(self, fields: tuple[FieldId, ...], cases: tuple[Case, ...], on_progress: Progress | None) -> _Sums:
        """A variable's levels lie together in most chunks, so the levels are the innermost loop."""
        total, done = len(fields) * len(cases), 0
        for _, group in groupby(fields, key=lambda f: f.variable):
            levels = list(group)
            for case in cases:
                for field in levels:
                    self._score(field, case)
                    done += 1
                    if on_progress is not None:
                        on_progress(done, total)
        if not self._sums.statistics:
            raise NoFiniteTruth(
                f"{self._truth.name}: {', '.join(map(str, fields[:20]))} are missing (NaN) everywhere at all "
                f"{len(cases)} times that {self._forecast.name} forecasts"
            )
        return self._sums

    def _score(self, field: FieldId, case: Case) -> None:
        truth = self._truth.read(field, case.truth)
        if not np.isfinite(truth).any():
            self._truth.refuse_infinity(field, case.truth, truth)
            self._warnings.add(
                f"{self._truth.name}: {field} {case.truth} is missing everywhere and left out; see the column 'cases'",
                self._truth.name,
                field.variable,
                "absent",
            )
            return
        members = self._forecast.read_members(field, case.forecast) if self._forecast.has_ensemble else None
        if members is None:
            forecast = self._forecast.read(field, case.forecast)
        else:
            forecast = members.mean(axis=0, dtype=np.float64).astype(np.float32)
        climatology = reference = None
        if self._climatology is not None and case.climatology is not None and self._climatology.has(field):
            climatology = self._climatology.read(field, case.climatology)
        if self._reference is not None and case.reference is not None and self._reference.has(field):
            reference = self._reference.read(field, case.reference)
        persistence = None if case.start is None else self._truth.read(field, case.start)
        self._suspect(field, truth, forecast, climatology, reference)
        lead_h = None if case.lead is None else hours(case.lead)
        for region, weights in self._weights.items():
            key = (field, lead_h, region)
            try:
                statistics = field_statistics(
                    forecast=forecast,
                    truth=truth,
                    climatology=climatology,
                    reference=reference,
                    persistence=persistence,
                    area_weights=weights,
                )
                if members is not None:
                    self._sums.ensembles[key].append(ensemble_sums(members=members, truth=truth, area_weights=weights))
            except NoFiniteTruth as error:
                self._warnings.add(f"{self._truth.name}: {field} {case.truth}, {region}: left out, {error}")
                continue
            except (NonFiniteForecast, BadField, GridMismatch) as error:
                raise type(error)(f"{self._forecast.name}: {field} {case.forecast}: {error}") from error
            self._sums.statistics[key].append(statistics)
            if statistics.moments.finite_area < statistics.moments.area:
                self._refuse_infinities(field, case, truth, climatology, reference)

    def _suspect(
        self,
        field: FieldId,
        truth: Field,
        forecast: Field,
        climatology: Field | None,
        reference: Field | None,
    ) -> None:
        """Once for each file and variable: do its numbers look like another unit?"""
        for source, values in (
            (self._forecast, forecast),
            (self._climatology, climatology),
            (self._reference, reference),
        ):
            if source is None or values is None:
                continue
            looks = suspicion(field, values, truth)
            if looks is not None:
                self._warnings.add(
                    f"{source.name}: {field} {looks}, next to {self._truth.name}", source.name, field.variable, "unit"
                )

    def _refuse_infinities(
        self, field: FieldId, case: Case, truth: Field, climatology: Field | None, reference: Field | None
    ) -> None:
        self._truth.refuse_infinity(field, case.truth, truth)
        for source, instant, values in (
            (self._climatology, case.climatology, climatology),
            (self._reference, case.reference, reference),
        ):
            if source is not None and instant is not None and values is not None:
                source.refuse_infinity(field, instant, values)


def _matched(opened: Mapping[str, Opened], request: Request, warnings: Warnings) -> Matching:
    instants = {what: series.instants() for what, (series, _) in opened.items()}
    names = {what: series.name for what, (series, _) in opened.items()}
    if request.init_time is not None:
        instants[FORECAST] = started_at(instants[FORECAST], request.init_time, names[FORECAST])
    require_leads(instants[FORECAST], names[FORECAST])
    found = match(
        instants[FORECAST],
        instants[TRUTH],
        climatology=instants.get(CLIMATOLOGY),
        reference=instants.get(REFERENCE),
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
            points, regrid = points_of(series.grid, wanted, f"the {what} {series.name}", pick=request.pick_points), None
            if points.change is not None:
                warnings.add(f"the {what} {series.name}: {points.change}")
        else:
            points = points_of(series.grid, series.grid, series.name)
            regrid, how = regridder_to(wanted, series, what)
            words += f"; {what} {how}"
        sources[what] = Source(series, member, points=points, regrid=regrid, warnings=warnings)
    return sources, wanted, words


def _check_units(sources: Mapping[str, Source], fields: tuple[FieldId, ...]) -> None:
    truth = sources[TRUTH].series
    for what, source in sources.items():
        if what == TRUTH:
            continue
        for field in fields:
            if source.has(field):
                require_same_unit(field, (source.name, source.series.unit(field)), (truth.name, truth.unit(field)))


def _mention_absent(
    sources: Mapping[str, Source], fields: tuple[FieldId, ...], request: Request, warnings: Warnings
) -> None:
    truth = sources[TRUTH]
    if request.variables is None:
        unscored = [str(f) for f in sources[FORECAST].series.fields() if f not in fields]
        if unscored:
            warnings.add(f"{truth.name} has no {', '.join(unscored[:20])}: not scored")
    for what in (CLIMATOLOGY, REFERENCE):
        source = sources.get(what)
        absent = [str(f) for f in fields if source is not None and not source.has(f)]
        if source is not None and absent:
            warnings.add(f"the {what} {source.name} has no {', '.join(absent[:20])}: scored without it")


def _rows(sums: _Sums) -> Iterator[ScoreRow]:
    """By field, then region, then lead."""
    order = {field: place for place, field in enumerate(dict.fromkeys(key[0] for key in sums.statistics))}
    regions = {region: place for place, region in enumerate(dict.fromkeys(key[2] for key in sums.statistics))}
    for key in sorted(sums.statistics, key=lambda k: (order[k[0]], regions[k[2]], k[1] or 0.0)):
        field, lead_h, region = key
        parts = sums.statistics[key]
        members = sums.ensembles.get(key)
        yield ScoreRow(
            variable=field.variable,
            level_hpa=field.level_hpa,
            lead_h=lead_h,
            region=region,
            unit=VARIABLES[field.variable].unit,
            cases=len(parts),
            metrics=all_metrics(FieldStatistics.total(parts)),
            ensemble=ensemble_metrics(EnsembleSums.total(members)) if members else None,
        )
