"""From the lead scores of several runs to one score per hotkey. Pure: plain structs in, plain structs out.

Owns the rules of design section 6, "Window". Never asks a database or a clock, and never reads "no data" as
zero. Imports no numpy: the IO-Engine calls it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from msgspec import Struct

from gaia.contracts.ids import Hotkey, RunId
from gaia.tasks.defined_tasks.weather.scoring.policy import ScoringPolicy

_EASE_ROUNDS = 30
_EASE_SETTLED = 1e-7
"""Relative. A round leaves of the distortion the share that comers and goers have in a run: two or three do, mostly."""


class Zeroed(Struct, frozen=True, kw_only=True):
    """Why a miner's whole run counts zero."""

    reason_code: str
    reason: str
    delivered: bool = False
    """A forecast came, but is a clone or failed the gate: such a miner did not *fail* for the void rule."""


class RunOutcome(Struct, frozen=True, kw_only=True):
    """What came of one run."""

    run_id: RunId
    asked: frozenset[Hotkey]
    """Everybody in the run's snapshot, less those whose result is missing by our fault or a source's."""
    due_lead_h: frozenset[int]
    """Leads that could be scored by now. One of them without an entry in `lead_scores` counts zero."""
    lead_scores: Mapping[Hotkey, Mapping[int, float | None]]
    """Hotkey -> lead -> score; None: not known yet, by no fault of the miner."""
    zeroed: Mapping[Hotkey, Zeroed] = {}
    """Those whose run is zero, for all leads and at once."""


class LeadStanding(Struct, frozen=True, kw_only=True):
    """How a hotkey stands at one lead."""

    lead_h: int
    score: float
    run_count: int
    """How many runs that is averaged over; 0: nothing is known, and the score is the unknown's quantile."""


class HotkeyScore(Struct, frozen=True, kw_only=True):
    """One hotkey's score over the window, 0 to 1. None: nothing is known. A zero always has a reason."""

    score: float | None
    reason_code: str | None = None
    reason: str | None = None
    leads: tuple[LeadStanding, ...] = ()


def is_void(run: RunOutcome, policy: ScoringPolicy) -> bool:
    """Whether so many miners failed that the fault is taken to be ours: the run then counts for nobody."""
    failed = sum(1 for hotkey in run.asked if hotkey in run.zeroed and not run.zeroed[hotkey].delivered)
    return failed > policy.window.void_failed_share * len(run.asked)


def window_scores(runs: Sequence[RunOutcome], policy: ScoringPolicy) -> dict[Hotkey, HotkeyScore]:
    """Every hotkey that any of `runs` asked, with its score. `runs`: newest first.

    Per lead and hotkey: the mean score over its latest (10) runs in which that lead is due. Who is known in every one
    of the latest runs has just that, whatever the others do: to leave something out takes exactly it from the miner,
    and nothing from anybody else. Who was not asked in one of them, or is unknown there by our fault, has the sum of
    its scores by the sum of its runs' eases, at most 1: it neither gains nor loses by having been there on easy days.
    A quotient, so that zero stays zero. A lead of which nothing is known stands at the 25th percentile of those with
    a score above zero there.
    """
    counted = [run for run in runs if not is_void(run, policy)]
    hotkeys = sorted({hotkey for run in runs for hotkey in run.asked})
    leads = sorted({lead for run in counted for lead in run.due_lead_h})
    known = {lead: _known_at(lead, counted, hotkeys, policy.window.runs) for lead in leads}
    unknown = {lead: _quantile([s.score for s in known[lead].values()], policy) for lead in leads}
    return {hotkey: _combine(hotkey, counted, known, unknown, policy) for hotkey in hotkeys}


def _known_at(
    lead_h: int, runs: Sequence[RunOutcome], hotkeys: Sequence[Hotkey], run_limit: int
) -> dict[Hotkey, LeadStanding]:
    """The standings at one lead of all of whom something is known there."""
    due = [run for run in runs if lead_h in run.due_lead_h]
    ahead = [run for run in runs if lead_h not in run.due_lead_h]
    ease = _ease(lead_h, due, run_limit)
    standings = {}
    for hotkey in hotkeys:
        known = {run.run_id: score for run in due if (score := _score_in(run, hotkey, lead_h)) is not None}
        counted = dict(list(known.items())[:run_limit])
        # Who was put out of a run has a zero there at once; until the lead is due it pushes no older score out.
        zeros = sum(1 for run in ahead if hotkey in run.asked and hotkey in run.zeroed)
        if counted or zeros:
            mean = min(_mean_by_ease(counted, zeros, ease, run_limit), 1.0)
            standings[hotkey] = LeadStanding(lead_h=lead_h, score=mean, run_count=len(counted) + zeros)
    return standings


def _mean_by_ease(counted: Mapping[RunId, float], zeros: int, ease: Mapping[RunId, float], run_limit: int) -> float:
    """The sum of some scores by the sum of their runs' eases: the plain mean, if those are the latest runs."""
    is_whole = list(counted) == list(ease)[:run_limit]
    eases = float(len(counted)) if is_whole else sum(ease[run_id] for run_id in counted)
    return sum(counted.values()) / (eases + zeros) if eases + zeros else 0.0


def _ease(lead_h: int, runs: Sequence[RunOutcome], run_limit: int) -> dict[RunId, float]:
    """How easy each of the runs in which a lead is due was, newest first; the latest runs' mean is 1.

    That is the mean score of those who delivered, if always the same did. But who is there changes: a run is not hard
    because newcomers lower its mean, nor is a newcomer good because the runs without it had a higher one. So score =
    quality of the miner x ease of the run is fitted, as in a two-way table with gaps: a run's ease is the sum of its
    scores by the sum of the qualities of those who delivered, a miner's quality the sum of its scores by the sum of the
    eases of those runs (iterative proportional fitting, Deming & Stephan 1940). Who was put out or is missing does not
    count: an outage of many makes no run hard. A run that nobody delivered is taken for a usual one.
    """
    delivered = {run.run_id: _delivered(lead_h, run) for run in runs}
    plain = {run_id: sum(found.values()) / len(found) for run_id, found in delivered.items() if found}
    # A run in which everybody had nothing says nothing: its ease is zero, as its scores are.
    ease = {**dict.fromkeys(plain, 0.0), **_fit(delivered, {run: mean for run, mean in plain.items() if mean > 0.0})}
    latest = [ease[run_id] for run_id in list(delivered)[:run_limit] if run_id in ease]
    usual = sum(latest) / len(latest) if latest else 0.0
    return {run_id: ease.get(run_id, usual) / usual if usual else 1.0 for run_id in delivered}


def _fit(delivered: Mapping[RunId, Mapping[Hotkey, float]], plain: Mapping[RunId, float]) -> dict[RunId, float]:
    """The eases of the runs in `plain`, which holds their mean scores, all above zero."""
    # By the means, so that every run counts alike, and what is fitted is near 1.
    scores = {run_id: {h: score / plain[run_id] for h, score in delivered[run_id].items()} for run_id in plain}
    ease = dict.fromkeys(plain, 1.0)
    for _ in range(_EASE_ROUNDS):
        quality = _quality(scores, ease)
        fitted = {
            run_id: sum(found.values()) / sum(quality[hotkey] for hotkey in found) for run_id, found in scores.items()
        }
        settled = all(math.isclose(fitted[run_id], ease[run_id], rel_tol=_EASE_SETTLED) for run_id in ease)
        ease = fitted
        if settled:
            break
    return {run_id: easy * plain[run_id] for run_id, easy in ease.items()}


def _quality(scores: Mapping[RunId, Mapping[Hotkey, float]], ease: Mapping[RunId, float]) -> dict[Hotkey, float]:
    """Each miner's score by the ease of its runs."""
    sums: dict[Hotkey, float] = {}
    eases: dict[Hotkey, float] = {}
    for run_id, found in scores.items():
        for hotkey, score in found.items():
            sums[hotkey] = sums.get(hotkey, 0.0) + score
            eases[hotkey] = eases.get(hotkey, 0.0) + ease[run_id]
    return {hotkey: total / eases[hotkey] for hotkey, total in sums.items()}


def _delivered(lead_h: int, run: RunOutcome) -> dict[Hotkey, float]:
    """The scores at a lead of those who delivered it and were not put out, in a fixed order."""
    return {
        hotkey: score
        for hotkey, scores in sorted(run.lead_scores.items())
        if hotkey in run.asked and hotkey not in run.zeroed and (score := scores.get(lead_h)) is not None
    }


def _score_in(run: RunOutcome, hotkey: Hotkey, lead_h: int) -> float | None:
    """A hotkey's score in a run where the lead is due; 0 if it is zeroed or the lead is missing; None: not known."""
    if hotkey not in run.asked:
        return None
    if hotkey in run.zeroed:
        return 0.0
    return run.lead_scores.get(hotkey, {}).get(lead_h, 0.0)


def _quantile(scores: Sequence[float], policy: ScoringPolicy) -> float | None:
    """The quantile of the scores above zero: an actual miner's score, never interpolated upward."""
    established = sorted(score for score in scores if score > 0.0)
    return established[int(policy.window.unknown_quantile * (len(established) - 1))] if established else None


def _combine(
    hotkey: Hotkey,
    runs: Sequence[RunOutcome],
    known: Mapping[int, Mapping[Hotkey, LeadStanding]],
    unknown: Mapping[int, float | None],
    policy: ScoringPolicy,
) -> HotkeyScore:
    standings = []
    for lead_h, by_hotkey in known.items():
        stand_in = unknown[lead_h]
        if hotkey in by_hotkey:
            standings.append(by_hotkey[hotkey])
        elif stand_in is not None:
            standings.append(LeadStanding(lead_h=lead_h, score=stand_in, run_count=0))
    score = _weighted_mean(standings, policy)
    zeroed = any(hotkey in run.asked and hotkey in run.zeroed for run in runs)
    if not any(standing.run_count for standing in standings):
        # A zero is known at once, before any truth is due; everything else that is not known is not zero.
        score = 0.0 if zeroed else None
    if score is None:
        return HotkeyScore(score=None)
    zero = _latest_reason(hotkey, runs, score)
    return HotkeyScore(
        score=score,
        reason_code=zero.reason_code if zero else None,
        reason=zero.reason if zero else None,
        leads=tuple(standings),
    )


def _weighted_mean(standings: Sequence[LeadStanding], policy: ScoringPolicy) -> float | None:
    weights = [policy.lead_weight(standing.lead_h) for standing in standings]
    if not sum(weights):
        return None
    return sum(w * standing.score for w, standing in zip(weights, standings, strict=True)) / sum(weights)


def _latest_reason(hotkey: Hotkey, runs: Sequence[RunOutcome], score: float) -> Zeroed | None:
    """Why the score is zero, or the newest run's was. None: nothing to explain."""
    newest = next((run for run in runs if hotkey in run.asked), None)
    if newest is not None and hotkey in newest.zeroed:
        return newest.zeroed[hotkey]
    if score > 0.0:
        return None
    older = next((run.zeroed[hotkey] for run in runs if hotkey in run.asked and hotkey in run.zeroed), None)
    if older is not None:
        return older
    if any(run.lead_scores.get(hotkey) for run in runs):
        return Zeroed(reason_code="no_skill", reason="the forecasts were scored and none had any skill")
    return Zeroed(reason_code="leads_missing", reason="no lead that was due has a score")
