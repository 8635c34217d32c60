"""Which field is compared with which: forecast, truth, climatology and reference by valid time. Pure.

Owns the rule that times are equal or there is no pair: nothing is interpolated in time, and nothing that was asked
for by name is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from gaia.tasks.defined_tasks.weather.evaluation.lookup import CalendarLookup, ForecastLookup
from gaia.tasks.defined_tasks.weather.files.errors import BadRequest, UnmatchedTimes
from gaia.tasks.defined_tasks.weather.files.series.series import Instant, called, hours


class Case(Struct, frozen=True, kw_only=True):
    """One forecast instant and what it is compared with."""

    forecast: Instant
    truth: Instant
    climatology: Instant | None
    reference: Instant | None
    extremes: Instant | None
    """The thresholds for the valid time."""
    start: Instant | None
    """The truth when the forecast started: the persistence forecast. None: not asked for."""

    @property
    def lead(self) -> timedelta | None:
        return self.forecast.lead


class Matching(Struct, frozen=True, kw_only=True):
    """All cases, by start and then lead, and what was left out."""

    cases: tuple[Case, ...]
    without_truth: tuple[Instant, ...]
    without_reference: tuple[Instant, ...]


def match(
    forecast: Sequence[Instant],
    truth: Sequence[Instant],
    *,
    climatology: Sequence[Instant] | None = None,
    reference: Sequence[Instant] | None = None,
    extremes: Sequence[Instant] | None = None,
    wanted_leads: Iterable[timedelta] | None = None,
    persistence: bool = False,
    names: Mapping[str, str],
) -> Matching:
    """Pair every forecast instant of a wanted lead with the truth at its valid time.

    names: "forecast", "truth", "climatology", "reference" and "extremes" -> path, for messages. Raises
    UnmatchedTimes if a wanted lead, or everything, has no truth; BadRequest for a lead that the forecast does not have.
    """
    if not forecast:
        raise UnmatchedTimes(f"{names['forecast']} holds no instant at all; at least one start and lead is expected")
    chosen = _of_leads(forecast, wanted_leads, names["forecast"])
    by_time = _by_valid_time(truth)
    rivals = None if reference is None else ForecastLookup(reference)
    usuals = None if climatology is None else CalendarLookup(climatology)
    thresholds = None if extremes is None else CalendarLookup(extremes)
    cases, without_truth, without_reference = [], [], []
    for instant in sorted(chosen, key=_order):
        verifying = _verifying(instant, by_time, truth)
        if verifying is None:
            without_truth.append(instant)
            continue
        rival = None if rivals is None else _rival(instant, rivals)
        if rivals is not None and rival is None:
            without_reference.append(instant)
        usual, threshold = (
            None if fields is None else _usual(instant, verifying, fields, called(what, names[what]))
            for fields, what in (
                (usuals, "climatology"),
                (thresholds, "extremes"),
            )
        )
        start = _start(instant, by_time, names) if persistence else None
        cases.append(
            Case(
                forecast=instant,
                truth=verifying,
                climatology=usual,
                reference=rival,
                extremes=threshold,
                start=start,
            )
        )
    named = set(wanted_leads or ())
    if not cases or named - {case.lead for case in cases}:
        raise _unmatched(without_truth, by_time, names, cases)
    if reference is not None and len(without_reference) == len(cases):
        raise UnmatchedTimes(
            f"{called('reference', names['reference'])} has none of the instants of {names['forecast']}, such as the "
            f"one {without_reference[0]}"
        )
    return Matching(cases=tuple(cases), without_truth=tuple(without_truth), without_reference=tuple(without_reference))


def require_leads(forecast: Sequence[Instant], name: str) -> None:
    """Raise UnmatchedTimes for a file of several instants of which it is not said whether they are starts or leads."""
    if len(forecast) > 1 and any(instant.lead is None for instant in forecast):
        raise UnmatchedTimes(
            f"{name} holds {len(forecast)} instants and no lead time; expected is an axis prediction_timedelta, "
            "lead_time or step, or an initial time (--init-time)"
        )


def _of_leads(forecast: Sequence[Instant], wanted: Iterable[timedelta] | None, name: str) -> list[Instant]:
    leads = {instant.lead for instant in forecast}
    if wanted is None:
        return list(forecast)
    wanted = list(wanted)
    absent = [lead for lead in wanted if lead not in leads]
    if absent:
        there = ", ".join(f"{hours(lead):g}" for lead in sorted(lead for lead in leads if lead is not None)) or "none"
        raise BadRequest(f"{name} has no lead {hours(absent[0]):g} h; its leads are {there} h")
    named = set(wanted)
    return [instant for instant in forecast if instant.lead in named]


def _by_valid_time(truth: Sequence[Instant]) -> dict[datetime | None, Instant]:
    """Analyses where there are any, else the shortest forecasts: those are nearest to what the weather did."""
    found: dict[datetime | None, Instant] = {}
    zero = timedelta()
    analyses = [instant for instant in truth if not instant.lead]
    for instant in sorted(analyses or truth, key=lambda i: i.lead or zero):
        found.setdefault(instant.valid_time, instant)
    return found


def _verifying(
    instant: Instant, by_time: Mapping[datetime | None, Instant], truth: Sequence[Instant]
) -> Instant | None:
    """The truth of an instant. Where one of them does not know its time, both must be the only one there is."""
    if instant.valid_time is not None and None not in by_time:
        return by_time.get(instant.valid_time)
    return truth[0] if len(truth) == 1 else None


def _start(instant: Instant, by_time: Mapping[datetime | None, Instant], names: Mapping[str, str]) -> Instant:
    if instant.init_time is None or instant.init_time not in by_time:
        when = f"{instant.init_time:%Y-%m-%dT%H:%MZ}" if instant.init_time else "an unknown time"
        raise UnmatchedTimes(
            f"persistence needs the truth at the forecast's start, {when}, which {names['truth']} does not hold"
        )
    return by_time[instant.init_time]


def _rival(instant: Instant, reference: ForecastLookup) -> Instant | None:
    """The reference forecast of the same start and lead; of unknown start, by valid time or lead alone."""
    found = reference.alike(instant)
    return found[0] if len(found) == 1 else None


def _usual(instant: Instant, truth: Instant, climatology: CalendarLookup, what: str) -> Instant:
    """The climatology, or what has its axes, for the valid time: by month, day or hour, as far as its axes go."""
    if climatology.for_any_time is not None:
        return climatology.for_any_time
    moment = truth.valid_time or instant.valid_time
    if moment is None:
        raise UnmatchedTimes(f"{what} depends on the time, which neither forecast nor truth say")
    found = climatology.at(moment)
    if len(found) != 1:
        raise UnmatchedTimes(
            f"{what} has {len(found)} fields for {moment:%Y-%m-%dT%H:%MZ}; expected is one, by axes "
            "such as month, or dayofyear and hour"
        )
    return found[0]


def _order(instant: Instant) -> tuple[float, float]:
    start = instant.init_time.timestamp() if instant.init_time else 0.0
    return start, hours(instant.lead) if instant.lead is not None else 0.0


def _unmatched(
    without: Sequence[Instant],
    by_time: Mapping[datetime | None, Instant],
    names: Mapping[str, str],
    cases: Sequence[Case],
) -> UnmatchedTimes:
    known = sorted(time for time in by_time if time is not None)
    there = f"{known[0]:%Y-%m-%dT%HZ} to {known[-1]:%Y-%m-%dT%HZ} ({len(known)})" if known else "no times at all"
    done = {case.lead for case in cases}
    first = next((instant for instant in without if instant.lead not in done), without[0])
    wanted = f"{first.valid_time:%Y-%m-%dT%H:%MZ}" if first.valid_time else "an unknown time"
    hint = "" if first.valid_time else "; give its start with --init-time"
    return UnmatchedTimes(
        f"{called('truth', names['truth'])} holds {there}, and nothing valid at {wanted}, which {names['forecast']} "
        f"forecasts ({first}){hint}"
    )
