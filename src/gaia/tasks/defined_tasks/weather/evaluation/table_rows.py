"""From sums to the rows of the table: starts merged, and the wind as a vector beside its components.

Owns the order of rows, and which sums belong together. Holds no formula.
"""

from __future__ import annotations

from collections.abc import Iterator

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.evaluation.summing import FieldSums, Key
from gaia.tasks.defined_tasks.weather.evaluation.table import WINDS, ScoreRow
from gaia.tasks.defined_tasks.weather.evaluation.watched_source import Warnings
from gaia.tasks.defined_tasks.weather.files.series.series import Instant
from gaia.tasks.defined_tasks.weather.scoring.ensemble import EnsembleSums, ensemble_metrics
from gaia.tasks.defined_tasks.weather.scoring.field_summary import FieldStatistics, all_metrics
from gaia.tasks.defined_tasks.weather.scoring.wind import wind_metrics
from gaia.tasks.defined_tasks.weather.variables import VARIABLES


def rows_of(sums: FieldSums, warnings: Warnings) -> Iterator[ScoreRow]:
    """By field, then area, then lead; a wind vector after its second component."""
    fields = list(dict.fromkeys(key[0] for key in sums.statistics))
    areas = {area: place for place, area in enumerate(dict.fromkeys(key[2] for key in sums.statistics))}
    keys = sorted(sums.statistics, key=lambda k: (areas[k[2]], k[1] or 0.0))
    for place, field in enumerate(fields):
        yield from (_row(sums, key) for key in keys if key[0] == field)
        if any(other.variable == field.variable for other in fields[place + 1 :]):
            continue
        for wind, (u, v) in WINDS.items():
            for level in [f.level_hpa for f in fields if f.variable == field.variable] if field.variable == v else []:
                pairs = ((key, (FieldId(u, level), *key[1:])) for key in keys if key[0] == FieldId(v, level))
                for v_key, u_key in pairs:
                    row = _wind_row(sums, wind, u_key, v_key, warnings) if u_key in sums.statistics else None
                    if row is not None:
                        yield row


def _row(sums: FieldSums, key: Key) -> ScoreRow:
    field, lead_h, area = key
    parts = sums.statistics[key].values()
    members = sums.ensembles.get(key)
    return ScoreRow(
        variable=field.variable,
        level_hpa=field.level_hpa,
        lead_h=lead_h,
        region=area,
        unit=VARIABLES[field.variable].unit,
        cases=len(parts),
        metrics=all_metrics(FieldStatistics.total(parts)),
        ensemble=ensemble_metrics(EnsembleSums.total(members)) if members else None,
    )


def _wind_row(sums: FieldSums, wind: str, u_key: Key, v_key: Key, warnings: Warnings) -> ScoreRow | None:
    """Of the instants at which both components are there at the same points; None where there are none."""
    u, v = sums.statistics[u_key], sums.statistics[v_key]
    field, lead_h, area = u_key
    both = [instant for instant in u if instant in v and _same_points(sums, u_key, v_key, instant)]
    if len(both) < max(len(u), len(v)):
        warnings.add(
            f"{u_key[0]} and {v_key[0]} are not there at the same points at all times: {wind} has fewer cases",
            wind,
            "points",
        )
    if not both:
        return None
    return ScoreRow(
        variable=wind,
        level_hpa=field.level_hpa,
        lead_h=lead_h,
        region=area,
        unit=VARIABLES[field.variable].unit,
        cases=len(both),
        metrics=wind_metrics(*(FieldStatistics.total(parts[instant] for instant in both) for parts in (u, v))),
    )


def _same_points(sums: FieldSums, u_key: Key, v_key: Key, instant: Instant) -> bool:
    return sums.gaps.get((u_key, instant), b"") == sums.gaps.get((v_key, instant), b"")
