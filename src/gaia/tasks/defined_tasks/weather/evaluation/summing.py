"""The loop over fields and cases: reads what belongs together, lets `scoring` sum it up in every area.

Owns the order of reading: at any time there is one field of each file in memory, and one block of chunks. Holds no
formula.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as data_field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.evaluation.matching import Case
from gaia.tasks.defined_tasks.weather.evaluation.watched_source import Source, Warnings
from gaia.tasks.defined_tasks.weather.files.series.opening import CLIMATOLOGY, EXTREMES, FORECAST, REFERENCE, TRUTH
from gaia.tasks.defined_tasks.weather.files.series.series import Instant, hours
from gaia.tasks.defined_tasks.weather.files.series.unit_checks import suspicion
from gaia.tasks.defined_tasks.weather.scoring.ensemble import EnsembleSums, ensemble_sums
from gaia.tasks.defined_tasks.weather.scoring.field_summary import FieldStatistics, field_statistics
from gaia.tasks.defined_tasks.weather.scoring.grid import GridMismatch
from gaia.tasks.defined_tasks.weather.scoring.moments import BadField, Field, NoFiniteTruth, NonFiniteForecast

ProgressCallback = Callable[[int, int], None]
"""(fields done, fields in all)."""
Key = tuple[FieldId, float | None, str]
"""(field, lead in hours, name of the area)."""


@dataclass(frozen=True, kw_only=True)
class FieldSums:
    """What has been summed up: for each forecast instant alone, so that two variables can be paired."""

    statistics: dict[Key, dict[Instant, FieldStatistics]] = data_field(default_factory=lambda: defaultdict(dict))
    ensembles: dict[Key, list[EnsembleSums]] = data_field(default_factory=lambda: defaultdict(list))
    gaps: dict[tuple[Key, Instant], bytes] = data_field(default_factory=dict)
    """A digest of which points of the area are left out, where any are."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rival:
    """A field besides forecast and truth, where it is from, and of which instant."""

    source: Source
    instant: Instant
    values: Field


class Summing:
    """One evaluation's files, areas and sums."""

    def __init__(
        self, *, sources: Mapping[str, Source], weights: Mapping[str, NDArray[np.float64]], warnings: Warnings
    ) -> None:
        self._sources = sources
        self._forecast = sources[FORECAST]
        self._truth = sources[TRUTH]
        self._weights = weights
        self._warnings = warnings
        self._sums = FieldSums()

    def run(
        self, fields: tuple[FieldId, ...], cases: tuple[Case, ...], on_progress: ProgressCallback | None
    ) -> FieldSums:
        """A variable's levels lie together in most chunks, so the levels are the innermost loop.

        Raises NoFiniteTruth if nothing could be scored, NonFiniteForecast, UnusableValues, and what reading raises.
        """
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
        rivals = dict(self._rivals(field, case))
        self._suspect(field, truth, forecast, rivals)
        for area, weights in self._weights.items():
            try:
                self._add(field, case, area, weights, truth, forecast, members, rivals)
            except NoFiniteTruth as error:
                self._warnings.add(f"{self._truth.name}: {field} {case.truth}, {area}: left out, {error}")
            except (NonFiniteForecast, BadField, GridMismatch) as error:
                raise type(error)(f"{self._forecast.name}: {field} {case.forecast}: {error}") from error

    def _add(  # noqa: PLR0917  the parts of one case
        self,
        field: FieldId,
        case: Case,
        area: str,
        weights: NDArray[np.float64],
        truth: Field,
        forecast: Field,
        members: NDArray[np.float32] | None,
        rivals: Mapping[str, _Rival],
    ) -> None:
        statistics = field_statistics(
            forecast=forecast,
            truth=truth,
            **{what: rival.values for what, rival in rivals.items()},
            area_weights=weights,
        )
        key = (field, None if case.lead is None else hours(case.lead), area)
        if members is not None:
            self._sums.ensembles[key].append(ensemble_sums(members=members, truth=truth, area_weights=weights))
        self._sums.statistics[key][case.forecast] = statistics
        if statistics.moments.finite_area < statistics.moments.area:
            self._sums.gaps[key, case.forecast] = _gaps(weights, [truth, *(rival.values for rival in rivals.values())])
            self._truth.refuse_infinity(field, case.truth, truth)
            for rival in rivals.values():
                rival.source.refuse_infinity(field, rival.instant, rival.values)

    def _rivals(self, field: FieldId, case: Case) -> Iterator[tuple[str, _Rival]]:
        """What else there is of a field, under the names of `field_statistics`."""
        for name, what, instant in (
            ("climatology", CLIMATOLOGY, case.climatology),
            ("reference", REFERENCE, case.reference),
            ("threshold", EXTREMES, case.extremes),
            ("persistence", TRUTH, case.start),
        ):
            source = self._sources.get(what)
            if source is not None and instant is not None and source.has(field):
                yield name, _Rival(source=source, instant=instant, values=source.read(field, instant))

    def _suspect(self, field: FieldId, truth: Field, forecast: Field, rivals: Mapping[str, _Rival]) -> None:
        """Once for each file and variable: do its numbers look like another unit? Either of two may be the odd one."""
        given = [(self._forecast, forecast)]
        given += [(rival.source, rival.values) for rival in rivals.values() if rival.source is not self._truth]
        for source, values in given:
            for suspect, looks, other in (
                (source, suspicion(field, values, truth), self._truth),
                (self._truth, suspicion(field, truth, values), source),
            ):
                if looks is not None:
                    text = f"{suspect.name}: {field} {looks}, next to {other.name}"
                    self._warnings.add(text, suspect.name, field.variable, "unit")


def _gaps(weights: NDArray[np.float64], fields: Sequence[Field]) -> bytes:
    """A digest of the points that weigh something and are missing in any of the fields; empty if there are none."""
    missing = ~np.logical_and.reduce([np.isfinite(field) for field in fields])
    missing &= weights.reshape(missing.shape[0], -1) > 0.0
    return hashlib.sha256(np.packbits(missing).data).digest() if missing.any() else b""
